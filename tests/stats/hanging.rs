//! Lcores that do not come round.

use std::sync::mpsc;

use ringway::dataplane::Protocol;
use ringway::handler::http::{Request, Response};
use ringway::pipeline::Cx;

use crate::common::{Server, Start, wait_until};

#[test]
fn an_lcore_that_hangs_is_said_to_with_what_it_does() {
    let (release, hold) = mpsc::channel::<()>();
    let hold = std::sync::Arc::new(std::sync::Mutex::new(hold));
    let tables = "[stats]\nwatchdog_ms = 500\n";
    let builder = Start::new().tables(tables).listener("held", "").builder();
    let builder = builder.protocol("held", move |context| {
        let hold = hold.clone();
        Protocol::http(context, move |_: &mut Cx, _: &Request<'_>| {
            hold.lock().unwrap().recv().unwrap();
            Response::text(200, "at last")
        })
    });
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
