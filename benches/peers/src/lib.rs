//! Messages over any byte stream, as the peers of ringway's streams send them back and forth: a length in four
//! bytes before each, many of them in one write. And what TLS takes.

use std::io::{self, BufRead};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{CipherSuite, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// What is read and written at a time.
pub const BUFFER_BYTES: usize = 64 * 1024;

const LENGTH_BYTES: usize = 4;

/// Bytes that came, and where the next message begins.
struct Input {
    bytes: Vec<u8>,
    next: usize,
    end: usize,
}

impl Input {
    fn new() -> Self {
        Self { bytes: vec![0; 2 * BUFFER_BYTES], next: 0, end: 0 }
    }

    /// Waits for more, behind what is left of those before; whether there was more.
    async fn read(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
        self.bytes.copy_within(self.next..self.end, 0);
        (self.next, self.end) = (0, self.end - self.next);
        let bytes = reader.read(&mut self.bytes[self.end..]).await?;
        self.end += bytes;
        Ok(bytes > 0)
    }

    /// The next whole message.
    fn message(&mut self) -> Option<&[u8]> {
        let (length, rest) = self.bytes[self.next..self.end].split_first_chunk::<LENGTH_BYTES>()?;
        let message = rest.get(..u32::from_le_bytes(*length) as usize)?;
        self.next += LENGTH_BYTES + message.len();
        Some(message)
    }
}

/// Puts a message behind those that are to be written.
async fn put(writer: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    writer.write_all(&(message.len() as u32).to_le_bytes()).await?;
    writer.write_all(message).await
}

/// Sends every message back; what came in one read goes out in one write.
pub async fn echo(
    mut reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, writer);
    let mut input = Input::new();
    while input.read(&mut reader).await? {
        while let Some(message) = input.message() {
            put(&mut writer, message).await?;
        }
        writer.flush().await?;
    }
    Ok(())
}

/// Streams that a client opens, of which an order uses some.
pub const STREAMS: usize = 64;

/// Obeys orders from standard input, each "BYTES STREAMS WINDOW MILLISECONDS": on so many streams that many
/// messages of that size are kept under way for that time. Says how many came back, and in how many nanoseconds.
pub async fn drive<R, W>(streams: Vec<(R, W)>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let buffered = |(reader, writer)| (reader, BufWriter::with_capacity(BUFFER_BYTES, writer));
    let mut streams: Vec<_> = streams.into_iter().map(buffered).collect();
    println!("ready");
    for order in io::stdin().lock().lines() {
        let order = order.expect("a line");
        let mut numbers = order.split(' ').map(|word| word.parse::<u64>().expect("a number"));
        let mut number = || numbers.next().expect("four of them");
        let (message, count, window) = (vec![b'x'; number() as usize], number() as usize, number());
        let time = Duration::from_millis(number());
        let start = Instant::now();
        let streams = streams[..count].iter_mut();
        let each = streams
            .map(|(reader, writer)| exchange(reader, writer, &message, window, start + time));
        let heard: u64 = try_join_all(each).await.expect("the server is there").into_iter().sum();
        println!("{heard} {}", start.elapsed().as_nanos());
    }
}

async fn exchange(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    message: &[u8],
    window: u64,
    until: Instant,
) -> io::Result<u64> {
    let mut input = Input::new();
    let (mut sent, mut heard) = (0, 0);
    loop {
        if Instant::now() < until {
            for _ in sent..heard + window {
                put(writer, message).await?;
            }
            sent = heard + window;
            writer.flush().await?;
        } else if heard == sent {
            return Ok(heard);
        }
        assert!(input.read(reader).await?, "it has hung up");
        while let Some(reply) = input.message() {
            assert!(reply == message, "it is not what was sent");
            heard += 1;
        }
    }
}

/// Whether this process is the server; otherwise the port to connect to.
pub fn port_to_drive() -> Option<u16> {
    std::env::args().nth(1).map(|port| port.parse().expect("a port"))
}

/// Runs on this thread alone.
pub fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio::task::LocalSet::new().block_on(&runtime.expect("tokio"), future);
}

/// Serves TCP connections of a port of its own, which it prints, on this thread alone, with no timers.
pub fn serve_tcp<F: Future<Output = ()> + 'static>(serve: fn(TcpStream) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("tokio");
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("bound").port());
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            tokio::task::spawn_local(serve(stream));
        }
    });
}

/// TLS 1.3 with AES-256-GCM by AWS-LC, as ringway has it. AES-128 is there because QUIC begins with it.
fn provider() -> Arc<CryptoProvider> {
    use aws_lc_rs::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
    let cipher_suites = vec![TLS13_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256];
    Arc::new(CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() })
}

/// With a certificate that was made just now.
pub fn server_tls(protocol: &[u8]) -> rustls::ServerConfig {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| {
            builder.with_no_client_auth().with_single_cert(vec![made.cert.into()], key.into())
        })
        .expect("a configuration");
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

pub fn client_tls(protocol: &[u8]) -> rustls::ClientConfig {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a configuration")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

/// A TCP connection with TLS: many bytes of it are read at a time, and written.
pub type Secure = BufWriter<TlsStream<BufReader<TcpStream>>>;

fn secure(stream: TlsStream<BufReader<TcpStream>>) -> Secure {
    let (_, session) = stream.get_ref();
    let suite = session.negotiated_cipher_suite().map(|suite| suite.suite());
    assert_eq!(suite, Some(CipherSuite::TLS13_AES_256_GCM_SHA384));
    BufWriter::with_capacity(BUFFER_BYTES, stream)
}

fn read_ahead(stream: TcpStream) -> BufReader<TcpStream> {
    stream.set_nodelay(true).expect("TCP_NODELAY");
    BufReader::with_capacity(BUFFER_BYTES, stream)
}

/// Hands every connection to `serve`, having said at which port.
pub async fn listen<F: Future<Output = ()> + 'static>(protocol: &[u8], serve: fn(Secure) -> F) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let acceptor = TlsAcceptor::from(Arc::new(server_tls(protocol)));
    println!("{}", listener.local_addr().expect("bound").port());
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let stream = acceptor.accept(read_ahead(stream)).await.expect("a handshake");
        tokio::task::spawn_local(serve(secure(TlsStream::Server(stream))));
    }
}

pub async fn connect(protocol: &[u8], port: u16) -> Secure {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("a connection");
    let connector = TlsConnector::from(Arc::new(client_tls(protocol)));
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = connector.connect(name, read_ahead(stream)).await.expect("a handshake");
    secure(TlsStream::Client(stream))
}

/// Who the server is does not matter here.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
