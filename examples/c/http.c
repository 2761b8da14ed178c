/* Answers the HTTP requests of a port: GET /hello greets, anything else is not found.
 *
 * The listener: protocol = "http", handler = "port:app".
 * cc -Icapi/include examples/c/http.c -Ltarget/release -lringway -Wl,-rpath,$PWD/target/release -o http
 * ./http /run/ringway/ringway/control.sock app
 */
#include <ringway.h>
#include <stdio.h>
#include <string.h>

#define BURST 32
#define TEXT "Content-Type: text/plain\r\n"

static int is(struct ringway_bytes bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

static int respond(struct ringway_port *port, int queue, const struct ringway_msg *request,
                   unsigned status, const char *body)
{
    return ringway_respond(port, queue, request, status, TEXT, (const uint8_t *)body, strlen(body));
}

static int answer(struct ringway_port *port, int queue, const struct ringway_msg *request)
{
    char body[300];

    if (!is(ringway_request_target(request), "/hello"))
        return respond(port, queue, request, 404, "not found\n");
    if (!is(ringway_request_method(request), "GET"))
        return respond(port, queue, request, 405, "GET it\n");
    struct ringway_bytes agent = ringway_request_header(request, "User-Agent");
    int shown = agent.len < 200 ? (int)agent.len : 200;
    snprintf(body, sizeof body, "hello, %.*s\n", shown, agent.data ? agent.data : "");
    return respond(port, queue, request, 200, body);
}

int main(int argc, char **argv)
{
    struct ringway_port *port;
    struct ringway_error error;
    struct ringway_msg msgs[BURST];

    if (argc != 3) {
        fprintf(stderr, "usage: %s CONTROL_SOCKET PORT\n", argv[0]);
        return 2;
    }
    if (ringway_attach(argv[1], argv[2], RINGWAY_TRUST_DEFAULT, &port, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    int queues = ringway_queue_count(port);
    printf("attached, %d queues\n", queues);
    fflush(stdout);

    int status;
    while ((status = ringway_wait(port, -1)) >= 0)
        for (int queue = 0; queue < queues; queue++) {
            int n = ringway_rx_burst(port, queue, msgs, BURST);
            for (int i = 0; i < n; i++) {
                /* No slot to answer with: the client is told that we could not. */
                if (msgs[i].kind == RINGWAY_REQUEST && answer(port, queue, &msgs[i]) < 0) {
                    struct ringway_msg lost = {.conn = msgs[i].conn, .request = msgs[i].request,
                                               .kind = RINGWAY_ABORT};
                    ringway_tx_burst(port, queue, &lost, 1);
                }
                ringway_release(port, &msgs[i]);
            }
        }
    fprintf(stderr, "%s\n", ringway_strerror(status));
    ringway_detach(port);
    return 1;
}
