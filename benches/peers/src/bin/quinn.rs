//! QUIC by quinn on one thread: messages of streams, echoed.
//!
//! usage: quinn          serves, and prints the port that it listens on
//!        quinn PORT     drives such a server, by orders from standard input

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig};
use ringway_peers::{STREAMS, block_on, client_tls, drive, echo, port_to_drive, server_tls};

const PROTOCOL: &[u8] = b"echo";

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    // Between orders it is silent for as long as others take.
    transport.max_idle_timeout(None);
    Arc::new(transport)
}

async fn serve(connection: Connection) {
    while let Ok((writer, reader)) = connection.accept_bi().await {
        // A peer that hangs up is no error of the server.
        tokio::task::spawn_local(async { drop(echo(reader, writer).await) });
    }
}

async fn listen() {
    let crypto = QuicServerConfig::try_from(server_tls(PROTOCOL)).expect("TLS for QUIC");
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(transport());
    let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
    println!("{}", endpoint.local_addr().expect("bound").port());
    while let Some(incoming) = endpoint.accept().await {
        let connection = incoming.await.expect("a handshake");
        tokio::task::spawn_local(serve(connection));
    }
}

async fn run(port: u16) {
    let crypto = QuicClientConfig::try_from(client_tls(PROTOCOL)).expect("TLS for QUIC");
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport());
    let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
    endpoint.set_default_client_config(config);
    let server: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
    let connecting = endpoint.connect(server, "localhost").expect("a configuration");
    let connection = connecting.await.expect("a handshake");
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let (writer, reader) = connection.open_bi().await.expect("a stream");
        streams.push((reader, writer));
    }
    drive(streams).await;
}

fn main() {
    block_on(async {
        match port_to_drive() {
            None => listen().await,
            Some(port) => run(port).await,
        }
    });
}
