/* Echoes what comes on the raw connections of a port.
 *
 * The listener: protocol = "raw", handler = "port:echo".
 * cc -Icapi/include examples/c/echo.c -Ltarget/release -lringway -Wl,-rpath,$PWD/target/release -o echo
 * ./echo /run/ringway/ringway/control.sock echo
 */
#include <ringway.h>
#include <stdio.h>

#define BURST 32

/* Makes of each message its answer, in place; returns how many answers there are. */
static int answer(struct ringway_msg *msgs, int n)
{
    int answers = 0;

    for (int i = 0; i < n; i++) {
        if (msgs[i].kind == RINGWAY_DATA)
            msgs[answers++] = msgs[i]; /* the same bytes, from the same slot */
        else if (msgs[i].kind == RINGWAY_EOF)
            msgs[answers++] = (struct ringway_msg){.conn = msgs[i].conn, .kind = RINGWAY_CLOSE};
    }
    return answers;
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
            ringway_tx_burst(port, queue, msgs, answer(msgs, n));
        }
    fprintf(stderr, "%s\n", ringway_strerror(status));
    ringway_detach(port);
    return 1;
}
