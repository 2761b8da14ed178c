//! Lcores that do not come round.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, mpsc};

use ringway::control::Control;
use ringway::dataplane::{Builder, Protocol};
use ringway::handler::http::{Request, Response};
use ringway::pipeline::Cx;

use crate::common::{Server, Start, wait_until};

/// A dataplane whose one listener answers when it is let go, and who lets it.
fn held(more: &str) -> (Builder, mpsc::Sender<()>) {
    let (release, hold) = mpsc::channel();
    let hold = Arc::new(Mutex::new(hold));
    let tables = format!("[stats]\nwatchdog_ms = 500\n{more}");
    let builder = Start::new().tables(&tables).listener("held", "").builder();
    let builder = builder.protocol("held", move |context| {
        let hold = hold.clone();
        Protocol::http(context, move |_: &mut Cx, _: &Request<'_>| held_back(&hold.lock().unwrap()))
    });
    (builder, release)
}

#[inline(never)]
fn held_back(hold: &mpsc::Receiver<()>) -> Response {
    hold.recv().unwrap();
    Response::text(200, "at last")
}

/// What was logged of everybody's.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn has(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().unwrap()).contains(text)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_lcore_that_hangs_is_said_to_with_what_it_does() {
    let (builder, release) = held("");
    let server = Server::run(builder);
    let observer = server.plane().observer().unwrap();
    let lcore = || observer.snapshot().unwrap().lcores.remove(0);
    assert_eq!((lcore().stalls, lcore().doing), (0, None));
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until(|| lcore().stalls == 1);
    let hanging = lcore();
    assert!(hanging.silent_ns >= 500_000_000, "{}", hanging.silent_ns);
    let doing = hanging.doing.expect("it is known");
    assert!(doing.starts_with("handler of listener 0, connection 0:"), "{doing}");
    release.send(()).unwrap();
    assert_eq!(client.response().status(), 200);
    wait_until(|| lcore().silent_ns == 0);
    assert_eq!(lcore().stalls, 1);
}

#[test]
fn where_it_hangs_is_logged_where_that_is_wanted_and_said_to_who_asks() {
    let log = Log::default();
    let theirs = log.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || theirs.clone()).init();
    let (builder, release) = held("backtrace = true\n");
    let directory = tempfile::tempdir().unwrap();
    let control = Control::new().socket(directory.path().join("control.sock"));
    let server = Server::run(builder.control(control));
    let ask = |command: &str| {
        let client = ringway::ipc::Client::new(directory.path().join("control.sock"));
        client.send(command).map(|reply| String::from_utf8(reply).unwrap())
    };
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until(|| log.has("hanging::held_back ("));
    assert!(log.has("lcore 0 is at\n    "));
    let id = server.plane().observer().unwrap().snapshot().unwrap().lcores[0].lcore_id;
    let shown = ask(&format!("backtrace {id}")).unwrap();
    assert!(shown.starts_with("handler of listener 0, connection 0:"), "{shown}");
    assert!(shown.contains("hanging::held_back ("), "{shown}");
    assert!(ask(&format!("j/backtrace {id}")).unwrap().starts_with("[\""));
    release.send(()).unwrap();
    assert_eq!(client.response().status(), 200);
    for (wrong, why) in [("", "it is `backtrace LCORE`"), ("x", "it is"), ("77", "no lcore 77")] {
        let refused = ask(&format!("backtrace {wrong}")).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
}
