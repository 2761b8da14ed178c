//! An old instance that does not come round.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ringway::control::Control;
use ringway::dataplane::Protocol;
use ringway::handler::http::{Request, Response};
use ringway::limits::TAKEOVER_STEP_NS;
use ringway::pipeline::Cx;

use crate::common::{Server, Start};
use crate::pretender::Pretender;

#[test]
fn it_gives_way_in_time_though_one_of_its_lcores_hangs() {
    let (release, hold) = mpsc::channel::<()>();
    let (hangs, hanging) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new((hangs, hold)));
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control.sock");
    let builder = Start::new().listener("held", "").builder();
    let builder =
        builder.control(Control::new().socket(&socket)).protocol("held", move |context| {
            let held = held.clone();
            Protocol::http(context, move |_: &mut Cx, _: &Request<'_>| {
                let (hangs, hold) = &*held.lock().unwrap();
                hangs.send(()).unwrap();
                // Or the test has failed.
                let _ = hold.recv();
                Response::text(200, "at last")
            })
        });
    let server = Server::run(builder);
    // Goes first, should this fail.
    let release = release;
    let pretender = Pretender::asks_at(&socket).unwrap().says("ready").hears("go").says("placed");
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    hanging.recv().unwrap();
    // An instance that hears nothing for the whole step gives up, and then nobody would serve.
    let step = Duration::from_nanos(TAKEOVER_STEP_NS);
    pretender.stream.set_read_timeout(Some(step * 3 / 4)).unwrap();
    let pretender = pretender.says("confirm").hears("stopped");
    release.send(()).unwrap();
    assert_eq!(client.response().status(), 200, "what it has under way it finishes");
    drop(pretender);
    server.account();
}
