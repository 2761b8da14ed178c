/* Calls with what a program may not pass: each is refused, and the port goes on. scripts/tests/capi.sh
 * runs it as: misuse CONTROL_SOCKET PORT TCP_PORT, where the port is of a raw listener. */
#include <arpa/inet.h>
#include <ringway.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #what);                             \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static struct ringway_port *port;

/* The next message of that kind. */
static struct ringway_msg next(uint8_t kind)
{
    struct ringway_msg msg;

    for (;;) {
        while (ringway_rx_burst(port, 0, &msg, 1) == 1)
            if (msg.kind == kind)
                return msg;
        CHECK(ringway_wait(port, 10000) == 1);
    }
}

static int client(const char *tcp_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(tcp_port))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(write(fd, "hello", 5) == 5);
    return fd;
}

static void arguments_that_are_none(struct ringway_msg *msg)
{
    CHECK(ringway_rx_burst(NULL, 0, msg, 1) == RINGWAY_EINVAL);
    CHECK(ringway_rx_burst(port, 0, NULL, 1) == RINGWAY_EINVAL);
    CHECK(ringway_rx_burst(port, 1, msg, 1) == RINGWAY_EINVAL); /* there is one queue */
    CHECK(ringway_tx_burst(port, 1, msg, 1) == RINGWAY_EINVAL);
    CHECK(ringway_tx_burst(port, 0, NULL, 1) == RINGWAY_EINVAL);
    CHECK(ringway_alloc(port, 0, 0, 1, NULL) == RINGWAY_EINVAL);
    CHECK(ringway_release(port, NULL) == RINGWAY_EINVAL);
    CHECK(ringway_attach(NULL, "x", 0, &port, NULL) == RINGWAY_EINVAL);
    CHECK(ringway_wait(NULL, 0) == RINGWAY_EINVAL && ringway_fd(NULL) == RINGWAY_EINVAL);
    CHECK(ringway_request_method(msg).data == NULL && !ringway_request_has_body(msg));
}

static void ranges_outside_of_the_slot(const struct ringway_msg *msg)
{
    struct ringway_msg wrong = *msg;

    wrong.len = 6; /* one past what came */
    CHECK(ringway_tx_burst(port, 0, &wrong, 1) == RINGWAY_EINVAL);
    wrong.data--;
    CHECK(ringway_tx_burst(port, 0, &wrong, 1) == RINGWAY_EINVAL);
    wrong.data = NULL;
    CHECK(ringway_tx_burst(port, 0, &wrong, 1) == RINGWAY_EINVAL);
    wrong.handle = 0;
    CHECK(ringway_tx_burst(port, 0, &wrong, 1) == RINGWAY_EINVAL);
}

static void slots_at_the_limit_and_past_it(uint64_t conn)
{
    struct ringway_msg msg;

    CHECK(ringway_alloc(port, 0, conn, 16385, &msg) == RINGWAY_EMSGSIZE);
    CHECK(ringway_alloc(port, 0, conn, 16384, &msg) == 0);
    CHECK(msg.capacity == 16384 && msg.len == 0 && msg.data != NULL);
    msg.len = 16385;
    CHECK(ringway_tx_burst(port, 0, &msg, 1) == RINGWAY_EINVAL);
    CHECK(ringway_release(port, &msg) == 0 && ringway_release(port, &msg) == RINGWAY_EINVAL);
    CHECK(ringway_respond(port, 0, &msg, 99, NULL, NULL, 0) == RINGWAY_EINVAL);
    CHECK(ringway_respond(port, 0, &msg, 200, NULL, NULL, 1) == RINGWAY_EINVAL);
}

/* All slots that there are now; how many, given back again. */
static int drain_and_release(uint64_t conn)
{
    static struct ringway_msg msgs[1000];
    int count = 0, code;

    while ((code = ringway_alloc(port, 0, conn, 1, &msgs[count])) == 0)
        CHECK(++count < 1000);
    CHECK(code == RINGWAY_EAGAIN);
    for (int i = 0; i < count; i++)
        CHECK(ringway_release(port, &msgs[i]) == 0);
    return count;
}

/* The dataplane lends a bounded number of slots, and lends again what came back. */
static void slots_until_there_are_none(uint64_t conn)
{
    struct ringway_msg msg;
    int all = drain_and_release(conn);

    CHECK(all > 0);
    for (int again = 0; again < all; again += drain_and_release(conn)) {
        CHECK(ringway_wait(port, 10000) >= 0);
        CHECK(ringway_rx_burst(port, 0, &msg, 1) == 0);
    }
}

int main(int argc, char **argv)
{
    struct ringway_error error;
    char back[5];

    CHECK(argc == 4);
    CHECK(ringway_attach(argv[1], argv[2], 3, &port, &error) == RINGWAY_EATTACH && port == NULL);
    CHECK(strstr(error.text, "there is no trust 3") && error.code == RINGWAY_EATTACH);
    CHECK(ringway_attach(argv[1], argv[2], RINGWAY_TRUST_DEFAULT, &port, &error) == 0);
    CHECK(ringway_queue_count(port) == 1 && ringway_is_alive(port) == 1);
    uint32_t number = 7;
    CHECK(ringway_connect(port, 0, &number) == RINGWAY_EINVAL && number == 7);
    CHECK(ringway_connect(port, 0, NULL) == RINGWAY_EINVAL && ringway_connect(NULL, 0, &number) == RINGWAY_EINVAL);

    int fd = client(argv[3]);
    struct ringway_msg msg = next(RINGWAY_DATA);
    CHECK(msg.len == 5 && memcmp(msg.data, "hello", 5) == 0 && msg.capacity == 0);
    struct ringway_port *attached = port;
    arguments_that_are_none(&msg);
    port = attached;
    ranges_outside_of_the_slot(&msg);
    slots_at_the_limit_and_past_it(msg.conn);
    slots_until_there_are_none(msg.conn);

    /* After all that, a part of what came goes back; then it is gone. */
    msg.data += 1;
    msg.len = 3;
    CHECK(ringway_tx_burst(port, 0, &msg, 1) == 1);
    CHECK(ringway_tx_burst(port, 0, &msg, 1) == RINGWAY_EINVAL);
    CHECK(ringway_release(port, &msg) == RINGWAY_EINVAL);
    struct ringway_msg end = {.conn = msg.conn, .kind = RINGWAY_CLOSE};
    CHECK(ringway_tx_burst(port, 0, &end, 1) == 1 && ringway_flush(port) == 0);
    CHECK(recv(fd, back, sizeof back, MSG_WAITALL) == 3 && memcmp(back, "ell", 3) == 0);
    CHECK(next(RINGWAY_CLOSED).conn == msg.conn);

    while (ringway_prepare_sleep(port) == 0) {
        CHECK(ringway_rx_burst(port, 0, &msg, 1) == 0);
    }
    CHECK(ringway_awake(port) == 0 && ringway_wait(port, 0) >= 0);
    ringway_detach(port);
    ringway_detach(NULL);
    return 0;
}
