//! Requests that readers have been made to disagree about: what the decoders make of each, what a
//! running dataplane answers, and whether nginx would see the same.

#[path = "../common/mod.rs"]
mod common;

mod corpus;
mod nginx;
mod peer;
mod verdict;

use common::Server;
use corpus::RULES;
use verdict::{End, Verdict};

#[test]
fn each_case_means_what_its_rule_says() {
    let mut differences = Vec::new();
    for rule in RULES {
        for (bytes, expected) in rule.cases {
            let found = Verdict::of(bytes);
            if found != *expected {
                let text = String::from_utf8_lossy(bytes);
                differences.push(format!("{}: {text:?}: {found:?}, not {expected:?}", rule.name));
            }
        }
    }
    assert!(differences.is_empty(), "\n{}\n", differences.join("\n"));
}

/// Whether the server does more with the bytes than decode them, which is not looked at here.
fn is_chunked(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    text.contains("chunked") && matches!(Verdict::of(bytes).end, End::Whole | End::Unfinished)
        || text.contains("chunked\r\n\r\n")
}

#[test]
fn a_dataplane_answers_each_request_it_takes_and_one_refusal() {
    let server = Server::http();
    for rule in RULES {
        for (bytes, expected) in rule.cases.iter().filter(|(bytes, _)| !is_chunked(bytes)) {
            let statuses = peer::statuses(server.address(0), bytes);
            let text = String::from_utf8_lossy(bytes);
            let context = format!("{}: {text:?}: {statuses:?}", rule.name);
            match expected.end {
                End::Refused(status) => {
                    assert_eq!(statuses.last(), Some(&status), "{context}");
                    assert_eq!(statuses.len() as u32, expected.requests + 1, "{context}");
                }
                End::Whole => assert_eq!(statuses.len() as u32, expected.requests, "{context}"),
                // Answered before its body is there, or not at all.
                End::Unfinished => {
                    let more = (statuses.len() as u32).abs_diff(expected.requests);
                    assert!(more <= 1, "{context}");
                }
            }
        }
    }
    server.stop();
}
