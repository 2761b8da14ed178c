//! The `[offload]` table.

use serde::Deserialize;
use toml::Spanned;

use super::super::{CoreMap, OffloadConfig};
use super::Source;
use crate::error::Result;
use crate::limits::{OFFLOAD_QUEUE, OFFLOAD_QUEUE_MAX, OFFLOAD_THREADS_MAX};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOffload {
    lcores: Option<Spanned<String>>,
    threads: Option<Spanned<u32>>,
    queue: Option<Spanned<u32>>,
}

pub(super) fn offload(source: &Source, raw: RawOffload) -> Result<OffloadConfig> {
    if let (Some(_), Some(threads)) = (&raw.lcores, &raw.threads) {
        return Err(source.refuse(
            threads.span(),
            "lcores and threads are both given".to_owned(),
            "give lcores for threads with cores of their own, or threads for such that float",
        ));
    }
    let queue = match raw.queue {
        None => OFFLOAD_QUEUE,
        Some(n) if (1..=OFFLOAD_QUEUE_MAX).contains(n.get_ref()) => n.into_inner(),
        Some(n) => {
            return Err(source.refuse(
                n.span(),
                format!("queue is {}", n.get_ref()),
                format!("let 1 to {OFFLOAD_QUEUE_MAX} tasks of each lcore wait"),
            ));
        }
    };
    let threads = match raw.threads {
        Some(n) if !(1..=OFFLOAD_THREADS_MAX as u32).contains(n.get_ref()) => {
            return Err(source.refuse(
                n.span(),
                format!("threads is {}", n.get_ref()),
                format!("give it 1 to {OFFLOAD_THREADS_MAX} threads"),
            ));
        }
        other => other.map(Spanned::into_inner),
    };
    let lcores = raw.lcores.map(|list| {
        CoreMap::parse_list(list.get_ref()).map_err(|error| {
            source.refuse(
                list.span(),
                format!("lcores is {:?}, and {}", list.get_ref(), error.why()),
                error.remedy(),
            )
        })
    });
    Ok(OffloadConfig { lcores: lcores.transpose()?, threads, queue })
}
