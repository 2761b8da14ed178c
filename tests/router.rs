//! Routers and the layers around their handlers, without sockets and with them (G-15, A-8, A-10).

mod common;

mod router {
    mod again;
    mod bodies;
    mod failures;
    mod layers;
    mod mounted;
    mod offloaded;
    mod raw;
    mod routes;
    mod sockets;
    mod values;
    mod websockets;
}
