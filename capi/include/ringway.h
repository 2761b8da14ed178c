/* Ports of a ringway dataplane, for programs in C. Written by scripts/capi.sh from capi/src: change
 * the comments there. Functions return an int: below 0 it is one of RINGWAY_E…, and ringway_strerror
 * gives its sentence. None of them blocks, but ringway_attach and ringway_wait. */

#ifndef RINGWAY_H
#define RINGWAY_H

#include <stddef.h>
#include <stdint.h>

// What was passed is not right: a null pointer, a queue that there is not, a message that the program
// does not have.
#define RINGWAY_EINVAL -1

// The dataplane has lent no empty slot right now.
#define RINGWAY_EAGAIN -2

// The dataplane has ended, or has closed the port.
#define RINGWAY_EGONE -3

// Attaching failed; the error says why.
#define RINGWAY_EATTACH -4

// More bytes than one call takes.
#define RINGWAY_EMSGSIZE -5

// A bug of ringway.
#define RINGWAY_EBUG -6

// Enough of a response waits for those to the requests before it: answer these first.
#define RINGWAY_ETURN -7

// Bytes of an error's text, with the zero that ends it.
#define RINGWAY_ERROR_TEXT_BYTES 512

// Most bytes of fields and body together that `ringway_respond` takes: what the dataplane lends
// of large slots.
#define RINGWAY_RESPOND_BYTES_MAX 131072

// Most bytes of the field lines of a response.
#define RINGWAY_FIELDS_BYTES_MAX 8191

// Share the bytes as the port's listener has it.
#define RINGWAY_TRUST_DEFAULT 0

// Map the dataplane's mempool: no byte is copied.
#define RINGWAY_TRUST_SHARED 1

// Map the port's own memory alone: each payload is copied once on its way.
#define RINGWAY_TRUST_ISOLATED 2

// Beside one of these: be told when another instance takes over (`ringway_has_moved`).
#define RINGWAY_FOLLOW 16

// Both ways, raw connections: bytes.
#define RINGWAY_DATA 0

// Received: a connection began.
#define RINGWAY_OPEN 1

// Received: the peer will send no more.
#define RINGWAY_EOF 2

// Received: the connection is gone, or its request has lost its client.
#define RINGWAY_CLOSED 3

// Sent: close once all before it is out.
#define RINGWAY_CLOSE 4

// Sent: close now.
#define RINGWAY_ABORT 5

// Sent: receive nothing more for a while.
#define RINGWAY_PAUSE 9

// Sent: receive again.
#define RINGWAY_RESUME 10

// Received: the head of a request.
#define RINGWAY_REQUEST 16

// Both ways: the next bytes of a body; meta 1 on the last, which may have none.
#define RINGWAY_BODY 17

// Received: the trailer fields of a body, whole lines, before its last part.
#define RINGWAY_TRAILERS 19

// Sent: a response, or its beginning; meta from `ringway_response_meta`.
#define RINGWAY_RESPONSE 67

// A port that the program is attached to.
struct ringway_port;

// What failed.
struct ringway_error {
    // One of the `RINGWAY_E…` numbers.
    int code;
    // A sentence: what failed, why, and what mends it. Cut where it is too long.
    char text[RINGWAY_ERROR_TEXT_BYTES];
};

// What passes through a port: something about a connection, with bytes or without. It may be copied
// as one likes; the slot under it is the program's once.
struct ringway_msg {
    // The connection; a program passes it back as it came.
    uint64_t conn;
    // The first of the bytes; null where there are none. Received bytes may be read only.
    uint8_t *data;
    // How many they are.
    uint32_t len;
    // How many may be written from `data` on: 0, unless the message came from `ringway_alloc`.
    uint32_t capacity;
    // Number of the request, to be repeated in what answers it; or of a connection that was asked for.
    uint32_t request;
    // 24 bits that the kind explains.
    uint32_t meta;
    // ringway's number of the slot; 0: there is none. Leave it as it is.
    uint64_t handle;
    // What it is: `RINGWAY_DATA` and so on.
    uint8_t kind;
};

// A range of bytes in a message; `data` is null where there is no such thing. It ends with its message.
struct ringway_bytes {
    // The first.
    const char *data;
    // How many they are. No zero follows them.
    size_t len;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Attaches to the port `port` of the dataplane whose control socket is at `socket_path`. `trust` is
// `RINGWAY_TRUST_DEFAULT` (as the port's listener has it), `RINGWAY_TRUST_SHARED` or
// `RINGWAY_TRUST_ISOLATED`, or one of them `| RINGWAY_FOLLOW`. The port is written to `*attached`; the
// program gives it to `ringway_detach` in the end. It may be used by any thread, but by one at a time.
//
// Returns 0, or `RINGWAY_EATTACH`, `RINGWAY_EINVAL` or `RINGWAY_EBUG` with a sentence in `*error` that says
// what failed, why, and what mends it. `error` may be null.
int ringway_attach(const char *socket_path,
                   const char *port,
                   uint32_t trust,
                   struct ringway_port **attached,
                   struct ringway_error *error);

// Detaches: what the program was lent goes home, and what `data` of a message pointed to is gone.
// Null is no port, and nothing happens.
void ringway_detach(struct ringway_port *port);

// How many queues the port has: one for each lcore of the dataplane. They are numbered from 0.
int ringway_queue_count(struct ringway_port *port);

// Asks for a connection, at a port whose process is the peer of a listener (`transport = "shm"`), and
// writes its number to `*number`. What comes next with that number as `request` is `RINGWAY_OPEN`, whose
// `conn` is the connection, or `RINGWAY_CLOSED`: it was refused.
//
// Returns 0, or `RINGWAY_EINVAL` at a port whose process handles the connections of others.
int ringway_connect(struct ringway_port *port,
                    uint32_t queue,
                    uint32_t *number);

// Takes up to `n` messages of a queue and writes them to `msgs`; returns how many, 0 when there are none.
// It never waits. Each message that has a slot is the program's until it passes it to
// `ringway_tx_burst` or `ringway_release`. In no time without calls of this function does a queue
// get new slots or send what waited for the peer.
int ringway_rx_burst(struct ringway_port *port,
                     uint32_t queue,
                     struct ringway_msg *msgs,
                     uint32_t n);

// Writes to `*msg` a message of kind `RINGWAY_DATA` for the connection `conn`, with room for `bytes` at
// least: the program writes up to `capacity` bytes to `data`, and sets `len`. `conn` belongs to the queue
// that it came from.
//
// Returns 0, or `RINGWAY_EAGAIN` when the dataplane has lent no such slot: flush, receive, and try again.
// Slots hold 16384 bytes at most, or 4194304 on a shared port of a dataplane with blocks
// (`RINGWAY_EMSGSIZE`).
int ringway_alloc(struct ringway_port *port,
                  uint32_t queue,
                  uint64_t conn,
                  uint32_t bytes,
                  struct ringway_msg *msg);

// The same for a part of the response to a request: `asked` is a message of that request, or zeroes but for
// `conn` and `request`. What is written to `*msg` is of kind `RINGWAY_BODY` and of that request.
//
// Parts of a response wait in the program while requests before it on its connection are not answered: once
// enough do, the answer is `RINGWAY_ETURN`, until those are. `RINGWAY_EAGAIN` as for `ringway_alloc`, and while
// the peer is slow to take what it was sent.
int ringway_alloc_part(struct ringway_port *port,
                       uint32_t queue,
                       const struct ringway_msg *asked,
                       uint32_t bytes,
                       struct ringway_msg *msg);

// Sends `n` messages, in order with those before them on their connections; returns how many were
// taken. All are, unless one is not right (a slot that was released or sent before, a range outside of
// it, a message of another queue): it and those behind it stay the program's, and when it is the
// first the answer is `RINGWAY_EINVAL`.
//
// A message may have come from `ringway_rx_burst` (its own bytes go back, or a part of them: move
// `data`, lower `len`), from `ringway_alloc`, or be a marker: zeroes but for `conn` and `kind`. What the
// peer is too slow for waits on its slot; its connection is not received from meanwhile. The lcore
// hears of messages at the next `ringway_flush` or `ringway_wait`.
int ringway_tx_burst(struct ringway_port *port,
                     uint32_t queue,
                     const struct ringway_msg *msgs,
                     uint32_t n);

// Gives the slot of a message back of which the program makes nothing more. Returns 0, also for a
// marker, which has none; `RINGWAY_EINVAL` when the slot was released or sent before.
int ringway_release(struct ringway_port *port, const struct ringway_msg *msg);

// Ends a turn: sends what waits for room, gives released slots back, and wakes the lcores that sleep.
// Call it behind each burst. Returns 0.
int ringway_flush(struct ringway_port *port);

// Flushes, and waits until a queue has something: spins for some 50 µs, then sleeps, for at most
// `timeout_ms` milliseconds, or without an end when that is negative. Returns 1 when there is
// something, 0 after the timeout or a signal, and `RINGWAY_EGONE` when the dataplane has ended and all
// that it had sent was received: detach, and attach to the next.
int ringway_wait(struct ringway_port *port,
                 int timeout_ms);

// A descriptor to wait for in a loop of one's own (poll, epoll): readable when something came while the
// program had announced its sleep. It stays the port's: do not read, write or close it. The order is
//
//     if (ringway_prepare_sleep(port) == 1)
//         poll ringway_fd and ringway_lifeline_fd for input;
//     ringway_awake(port);
//     receive until there is nothing
int ringway_fd(struct ringway_port *port);

// A descriptor that becomes readable when the dataplane is gone, and never before. It stays the
// port's.
int ringway_lifeline_fd(struct ringway_port *port);

// Flushes, and announces that the program is about to sleep until `ringway_fd` is readable. Returns 1:
// sleep now, and call `ringway_awake` then; 0: there is something already, and nothing was announced.
int ringway_prepare_sleep(struct ringway_port *port);

// Ends the announcement of `ringway_prepare_sleep`, however the sleep ended, and silences `ringway_fd`.
// Returns 0.
int ringway_awake(struct ringway_port *port);

// 1 when the dataplane still serves the port, else 0. It costs a system call: a program that spins
// asks now and then.
int ringway_is_alive(struct ringway_port *port);

// 1 when another instance takes over from the one that serves the port, else 0, as `ringway_wait` or
// `ringway_is_alive` has heard last; only where `RINGWAY_FOLLOW` asked for it. Attach once more by the same
// path, within five seconds, and go on with this port too until it ends: what it has begun ends there.
int ringway_has_moved(struct ringway_port *port);

// The sentence of an error number: what failed, why, and what mends it. It stays for ever.
const char *ringway_strerror(int code);

// The method of a request, such as `GET`.
struct ringway_bytes ringway_request_method(const struct ringway_msg *msg);

// The target of a request as it came, such as `/path?query`.
struct ringway_bytes ringway_request_target(const struct ringway_msg *msg);

// The value of the first field of that name, whatever its case.
struct ringway_bytes ringway_request_header(const struct ringway_msg *msg, const char *name);

// All field lines of a request, each ended by CRLF, to be read one by one.
struct ringway_bytes ringway_request_fields(const struct ringway_msg *msg);

// 1 when messages of kind `RINGWAY_BODY` follow the request's head, the last of them with meta 1.
int ringway_request_has_body(const struct ringway_msg *msg);

// The meta of a message of kind `RINGWAY_RESPONSE`, for programs that send their responses in parts:
// the message begins with `fields_bytes` of field lines, each ended by CRLF, and `whole` is 1 when the
// body is all in it. Else messages of kind `RINGWAY_BODY` follow, the last with meta 1. All have the
// `conn` and `request` of the request.
uint32_t ringway_response_meta(uint32_t status,
                               uint32_t fields_bytes,
                               int whole);

// Answers a request: `fields` are field lines, each ended by CRLF (null: none; ringway adds
// `Date` and the length), `body` its `body_bytes` bytes. All is copied. The request's message stays the
// program's, to release.
//
// Returns 0; `RINGWAY_EAGAIN` when the dataplane has lent too few slots right now; `RINGWAY_EMSGSIZE` for
// more than `RINGWAY_FIELDS_BYTES_MAX` of fields or `RINGWAY_RESPOND_BYTES_MAX` in all: send it in parts.
// With an error nothing was sent.
int ringway_respond(struct ringway_port *port,
                    uint32_t queue,
                    const struct ringway_msg *request,
                    uint32_t status,
                    const char *fields,
                    const uint8_t *body,
                    size_t body_bytes);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RINGWAY_H */
