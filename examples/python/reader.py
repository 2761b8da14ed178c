"""Attaches to a raw port with nothing but the standard library, and sends back what comes in upper
case. It is here to show that docs/MEMORY.md has all that it takes; programs use the package.

python3 examples/python/reader.py /run/ringway/ringway/control.sock echo [shared|isolated]

Python has no atomics. On x86-64 it gets by: indices are aligned words of a memoryview, which CPython
loads and stores with one instruction each, and the processor keeps loads among loads and stores among
stores in order. What it does not keep is a store before a later load, as the sleep needs: there a lock
is taken, which is a full fence. On ARM this program would be wrong.
"""

import mmap, os, select, socket, struct, sys, threading, time
from collections import deque

DATA, OPEN, EOF, CLOSED, CLOSE = range(5)
SUPPLY, RETURN, CREDIT = 64, 65, 66
NO_SLOT = U32 = 0xFFFF_FFFF
WINDOW = 128
DESCRIPTOR = struct.Struct("<QIIIIII")  # conn, message, slot, start, len, loan, tag


def fence(lock=threading.Lock()):
    with lock:
        pass


class Queue:
    def __init__(self, segment, start, ring_slots, classes, bell):
        ring_bytes = -(-(384 + 32 * ring_slots) // 128) * 128
        down, up = start + 256, start + 256 + ring_bytes
        self.memory, self.words, self.ring_slots = segment, memoryview(segment).cast("I"), ring_slots
        self.down_flag, self.up_flag = start // 4, (start + 128) // 4
        self.down_tail, self.down_head, self.down = (down + 128) // 4, (down + 256) // 4, down + 384
        self.up_tail, self.up_head, self.up = (up + 128) // 4, (up + 256) // 4, up + 384
        self.classes, self.bell = classes, bell
        self.head = self.tail = 0
        self.stock = [[] for _ in classes]  # empty slots, by class
        self.flows = {}  # by connection: how many are under way, and what waits

    def receive(self):
        tail = self.words[self.down_tail]
        while self.head != tail:
            at = self.down + 32 * (self.head % self.ring_slots)
            fields = DESCRIPTOR.unpack_from(self.memory, at)
            self.head = self.words[self.down_head] = (self.head + 1) & U32
            yield fields

    def send(self, conn, kind, slot=NO_SLOT, start=0, size=0, loan=0):
        while (self.tail - self.words[self.up_head]) & U32 == self.ring_slots:
            self.wake()
            time.sleep(0)
        at = self.up + 32 * (self.tail % self.ring_slots)
        DESCRIPTOR.pack_into(self.memory, at, conn, 0, slot, start, size, loan, kind)
        self.tail = self.words[self.up_tail] = (self.tail + 1) & U32

    def wake(self):
        fence()
        if self.words[self.up_flag] == 1:
            self.words[self.up_flag] = 0
            os.write(self.bell, struct.pack("=Q", 1))

    def bytes_of(self, slot, start, size, loan):
        memory, first, slot_bytes = self.classes[loan & 0xFF]
        at = first + slot * slot_bytes + start
        return memory[at : at + size]

    def turn(self):
        for conn, _, slot, start, size, loan, tag in self.receive():
            kind, lent = tag & 0xFF, (slot, start, size, loan)
            if kind == SUPPLY:
                self.stock[loan & 0xFF].append(lent)
            elif kind == OPEN:
                self.flows[conn] = [0, deque()]
            elif kind == CREDIT and conn in self.flows:
                self.flows[conn][0] -= tag >> 8
            elif kind in (DATA, EOF):
                self.flows[conn][1].append((kind, lent))
            elif kind == CLOSED:
                for kind, lent in self.flows.pop(conn)[1]:
                    if kind == DATA:
                        self.send(conn, RETURN, *lent)
        for conn, flow in self.flows.items():
            while flow[1] and self.answer(conn, flow, *flow[1][0]):
                flow[1].popleft()
        self.wake()

    def answer(self, conn, flow, kind, lent):
        """Whether there was a slot for it, and room in the connection's window."""
        if kind == EOF:
            self.send(conn, CLOSE)
            return True
        _, _, size, _ = lent
        fits = (stock for (_, _, most), stock in zip(self.classes, self.stock) if stock and most >= size)
        stock = next(fits, None)
        if stock is None or flow[0] == WINDOW:
            return False
        slot, start, _, loan = stock.pop()
        self.bytes_of(slot, start, size, loan)[:] = bytes(self.bytes_of(*lent)).upper()
        self.send(conn, DATA, slot, start, size, loan)
        self.send(conn, RETURN, *lent)
        flow[0] += 1
        return True


def attach(path, name, trust=""):
    lifeline = socket.socket(socket.AF_UNIX)
    lifeline.connect(path)
    lifeline.sendall(f"attach {name} {trust}\n".encode())
    line, fds, _, _ = socket.recv_fds(lifeline, 4096, 200)
    if not line.startswith(b"attached version=1 "):
        sys.exit(line.decode().strip())
    granted = dict(word.split("=") for word in line.decode().split()[1:])["queues"].split(",")
    pools = [mmap.mmap(fd, 0) for fd in fds[1 : -1 - len(granted)]]
    segment, event, bells = mmap.mmap(fds[0], 0), fds[-1 - len(granted)], fds[-len(granted) :]
    ring_slots, first, queue_bytes, class_count = struct.unpack_from("<IQQI", segment, 28)
    queues = []
    for number, (pool, bell) in enumerate(zip(granted, bells)):
        start = first + number * queue_bytes
        if pool == "-":
            records = [struct.unpack_from("<IIQ", segment, 56 + 16 * i) for i in range(class_count)]
            classes = [(memoryview(segment), start + slots, size) for size, _, slots in records]
        else:
            memory = memoryview(pools[int(pool)])
            (count,) = struct.unpack_from("<I", memory, 12)
            records = [struct.unpack_from("<II16xQ", memory, 24 + 32 * i) for i in range(count)]
            classes = [(memory, slots, size) for size, _, slots in records]
        queues.append(Queue(segment, start, ring_slots, classes, bell))
    return lifeline, event, queues


def main(*arguments):
    lifeline, event, queues = attach(*arguments)
    print("attached", flush=True)
    while True:
        for queue in queues:
            queue.turn()
            queue.words[queue.down_flag] = 1
        fence()
        ready = []
        if all(queue.words[queue.down_tail] == queue.head for queue in queues):
            ready, _, _ = select.select([event, lifeline], [], [])
        for queue in queues:
            queue.words[queue.down_flag] = 0
        if event in ready:
            os.read(event, 4096)
        if lifeline in ready:
            sys.exit("the dataplane is gone")


if __name__ == "__main__":
    main(*sys.argv[1:])
