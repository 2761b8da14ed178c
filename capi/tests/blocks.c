/* One message as large as slots are, and none that is a byte larger. scripts/tests/capi.sh runs it as:
 * blocks CONTROL_SOCKET PORT TCP_PORT BYTES, where the port is of a raw listener. */
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

/* The connection that the first bytes come on. */
static uint64_t first_connection(void)
{
    struct ringway_msg msg;

    for (;;) {
        while (ringway_rx_burst(port, 0, &msg, 1) == 1) {
            CHECK(ringway_release(port, &msg) == 0);
            if (msg.kind == RINGWAY_DATA)
                return msg.conn;
        }
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

int main(int argc, char **argv)
{
    struct ringway_error error;
    struct ringway_msg msg;
    uint32_t bytes;
    int code;

    CHECK(argc == 5);
    bytes = (uint32_t)atoi(argv[4]);
    CHECK(ringway_attach(argv[1], argv[2], RINGWAY_TRUST_DEFAULT, &port, &error) == 0);

    int fd = client(argv[3]);
    uint64_t conn = first_connection();
    unsigned char *back = malloc(bytes);
    CHECK(back != NULL);

    CHECK(ringway_alloc(port, 0, conn, bytes + 1, &msg) == RINGWAY_EMSGSIZE);
    for (int round = 1; round <= 3; round++) {
        while ((code = ringway_alloc(port, 0, conn, bytes, &msg)) == RINGWAY_EAGAIN) {
            struct ringway_msg other;
            CHECK(ringway_rx_burst(port, 0, &other, 1) == 0 && ringway_wait(port, 10000) >= 0);
        }
        CHECK(code == 0 && msg.capacity == bytes);
        memset(msg.data, round, bytes);
        msg.len = bytes;
        CHECK(ringway_tx_burst(port, 0, &msg, 1) == 1 && ringway_flush(port) == 0);
        memset(back, 0, bytes);
        CHECK(recv(fd, back, bytes, MSG_WAITALL) == (ssize_t)bytes);
        CHECK(back[0] == round && memcmp(back, back + 1, bytes - 1) == 0);
    }
    free(back);
    close(fd);
    ringway_detach(port);
    return 0;
}
