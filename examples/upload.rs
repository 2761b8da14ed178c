//! A page to send files and get them back. `cargo run --release --example upload [DIRECTORY]`, then open
//! <http://localhost:8090/>, or by hand:
//!
//! ```text
//! curl -T big.iso localhost:8090/files/big.iso                 # send
//! curl -I localhost:8090/files/big.iso                         # it broke off: Upload-Offset says where
//! curl -C 734003200 -T big.iso localhost:8090/files/big.iso    # go on there
//! curl -F f=@a.txt -F f=@b.txt localhost:8090/files/           # several, as a form
//! curl -C - -O localhost:8090/files/big.iso                    # get it, or the rest of it
//! ```

use ringway::dataplane::Builder;
use ringway::handler::http::{Body, Files, Pull, Reply, Request, Response, Service, Upload};
use ringway::mem::{Buf, ConnId};
use ringway::pipeline::Cx;

const PAGE: &str = r#"<!doctype html><meta charset=utf-8><title>files</title>
<h1>files</h1>
<form><input type=file name=f multiple> <button>send</button> <output></output></form>
<ul></ul>
<script>
const form = document.querySelector("form"), list = document.querySelector("ul");
async function show() {
  const answer = await fetch("/files/", { headers: { accept: "application/json" } });
  list.replaceChildren(...(await answer.json()).filter(file => !file.directory).map(file => {
    const item = document.createElement("li"), link = item.appendChild(document.createElement("a"));
    link.href = "/files/" + encodeURIComponent(file.name);
    link.download = link.textContent = file.name;
    item.append(` ${file.bytes} bytes`);
    return item;
  }));
}
form.onsubmit = async event => {
  event.preventDefault();
  const answer = await fetch("/files/", { method: "POST", body: new FormData(form) });
  form.querySelector("output").value = answer.ok ? "sent" : await answer.text();
  show();
};
show();
</script>
"#;

/// The page at `/`, and the files at `/files/`.
#[derive(Clone)]
struct Share(Upload);

impl Service for Share {
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        match request.path() {
            b"/" => Response::new(200, Body::Bytes(PAGE.as_bytes().into()))
                .content_type("text/html; charset=utf-8")
                .into(),
            _ => self.0.call(cx, request),
        }
    }

    // What follows belongs to requests that went on to the files.
    fn body_bytes_max(&self) -> Option<u64> {
        self.0.body_bytes_max()
    }
    fn body(&mut self, cx: &mut Cx, conn: ConnId, part: &Buf, last: bool) -> Reply {
        self.0.body(cx, conn, part, last)
    }
    fn woken(&mut self, cx: &mut Cx, conn: ConnId) -> Option<Response> {
        self.0.woken(cx, conn)
    }
    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        self.0.pull(cx, conn)
    }
    fn closed(&mut self, cx: &mut Cx, conn: ConnId) {
        self.0.closed(cx, conn);
    }
}

fn main() -> ringway::error::Result<()> {
    let directory = std::env::args().nth(1).unwrap_or("uploads".to_owned());
    std::fs::create_dir_all(&directory).expect("a directory to keep files in");
    let files = Files::new(&directory)?.at_prefix("/files").listing();
    let upload = Upload::new(&directory)?
        .at_prefix("/files")
        .max_bytes(10 << 30)
        .overwriting()
        .resumable()
        .with_files(files);
    println!("http://localhost:8090/ keeps files in {directory}");
    let share = Share(upload);
    println!(
        "{}",
        Builder::on_one_core()?.http(([0, 0, 0, 0], 8090), move || share.clone()).run()?
    );
    Ok(())
}
