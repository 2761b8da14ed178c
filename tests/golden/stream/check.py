#!/usr/bin/env python3
"""A second implementation of streams, in plain Python, made from docs/PROTOCOLS.md alone: it makes the
files of the handshake and of sealed packets beside it from the secrets that README.md names, reads the
recorded session as both ends have to, and ends with status 1 where anything differs. What was in the
session goes to standard output.

For checking alone: nothing here takes the same time for all secrets.
"""

import hashlib
import hmac
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).parent


class Fault(Exception):
    """A rule of the protocol is broken."""


def require(holds, rule):
    if not holds:
        raise Fault(rule)


# ---- X25519 (RFC 7748 §5) and Ed25519 (RFC 8032 §5.1) --------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
BASE_Y = 4 * pow(5, P - 2, P) % P


def x25519(scalar, point):
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, "little")
    x1 = int.from_bytes(point, "little") % 2**255
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def add(one, other):
    (x1, y1), (x2, y2) = one, other
    t = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + t, P - 2, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - t, P - 2, P)
    return x % P, y % P


def multiply(scalar, point):
    out = (0, 1)
    while scalar:
        if scalar & 1:
            out = add(out, point)
        point, scalar = add(point, point), scalar >> 1
    return out


def base():
    square = (BASE_Y**2 - 1) * pow(D * BASE_Y**2 + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (x if x % 2 == 0 else P - x), BASE_Y


def encode(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def expand_secret(secret):
    h = hashlib.sha512(secret).digest()
    a = int.from_bytes(h[:32], "little")
    return a & (2**254 - 8) | 2**254, h[32:]


def public(secret):
    return encode(multiply(expand_secret(secret)[0], base()))


def sign(secret, message):
    a, prefix = expand_secret(secret)
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % L
    R = encode(multiply(r, base()))
    h = int.from_bytes(hashlib.sha512(R + public(secret) + message).digest(), "little")
    return R + ((r + h * a) % L).to_bytes(32, "little")


def decode(encoded):
    """The point of 32 bytes that have no other encoding."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & 2**255 - 1
    square = (y**2 - 1) * pow(D * y**2 + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    require(y < P and (x * x - square) % P == 0 and not (x == 0 and sign), "no point of the curve")
    return (x if x % 2 == sign else P - x), y


def verify(key, message, signature):
    A, R, s = decode(key), decode(signature[:32]), int.from_bytes(signature[32:], "little")
    require(s < L and multiply(8, A) != (0, 1) and multiply(8, R) != (0, 1), "a weak signature")
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    require(multiply(s, base()) == add(R, multiply(h, A)), "the signature does not hold")


# ---- AES-256 (FIPS 197) in Galois/Counter mode (SP 800-38D) --------------------------------------


def doubled(a):
    return (a << 1 ^ (0x11B if a & 0x80 else 0)) & 0xFF


def sbox():
    box, p, q = [0x63] * 256, 1, 1
    while True:
        p ^= doubled(p)  # p times 3, q divided by 3
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        q ^= 0x09 if q & 0x80 else 0
        turned = q
        for n in range(1, 5):
            turned ^= (q << n | q >> 8 - n) & 0xFF
        box[p] = turned ^ 0x63
        if p == 1:
            return box


SBOX = sbox()


def round_keys(key):
    words, rcon = [key[i : i + 4] for i in range(0, 32, 4)], 1
    for i in range(8, 60):
        word = words[-1]
        if i % 8 == 0:
            word = bytes(SBOX[b] for b in word[1:] + word[:1])
            word, rcon = bytes([word[0] ^ rcon]) + word[1:], doubled(rcon)
        elif i % 8 == 4:
            word = bytes(SBOX[b] for b in word)
        words.append(bytes(a ^ b for a, b in zip(words[-8], word)))
    return [b"".join(words[i : i + 4]) for i in range(0, 60, 4)]


def aes(keys, block):
    state = bytes(a ^ b for a, b in zip(block, keys[0]))
    for number, key in enumerate(keys[1:], 1):
        state = [SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if number < 14:
            mixed = []
            for c in range(0, 16, 4):
                col, every = state[c : c + 4], state[c] ^ state[c + 1] ^ state[c + 2] ^ state[c + 3]
                mixed += [col[i] ^ every ^ doubled(col[i] ^ col[(i + 1) % 4]) for i in range(4)]
            state = mixed
        state = bytes(a ^ b for a, b in zip(state, key))
    return state


def gmul(x, y):
    z = 0
    for i in range(128):
        if x >> 127 - i & 1:
            z ^= y
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return z


def mask(keys, nonce, text):
    blocks = range(2, len(text) // 16 + 3)
    stream = b"".join(aes(keys, nonce + struct.pack(">I", number)) for number in blocks)
    return bytes(a ^ b for a, b in zip(text, stream))


def tag_of(keys, nonce, aad, sealed):
    h, tag = int.from_bytes(aes(keys, bytes(16)), "big"), 0
    padded = lambda part: part + bytes(-len(part) % 16)
    hashed = padded(aad) + padded(sealed) + struct.pack(">QQ", 8 * len(aad), 8 * len(sealed))
    for i in range(0, len(hashed), 16):
        tag = gmul(tag ^ int.from_bytes(hashed[i : i + 16], "big"), h)
    first = int.from_bytes(aes(keys, nonce + struct.pack(">I", 1)), "big")
    return (tag ^ first).to_bytes(16, "big")


def seal(key, salt, counter, aad, plain):
    keys, nonce = round_keys(key), salt + struct.pack("<Q", counter)
    sealed = mask(keys, nonce, plain)
    return sealed + tag_of(keys, nonce, aad, sealed)


def unseal(key, salt, counter, aad, sealed):
    """What was sealed; None where it was not."""
    keys, nonce = round_keys(key), salt + struct.pack("<Q", counter)
    sealed, tag = sealed[:-16], sealed[-16:]
    return mask(keys, nonce, sealed) if tag_of(keys, nonce, aad, sealed) == tag else None


# ---- Keys (RFC 5869) -----------------------------------------------------------------------------


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def extract(salt, ikm):
    return hmac.new(salt, ikm, "sha256").digest()


def expand(prk, info, length=32):
    # All that is asked for fits the first block.
    return hmac.new(prk, info + b"\x01", "sha256").digest()[:length]


# ---- The handshake -------------------------------------------------------------------------------


def count(first, length=32):
    return bytes(range(first, first + length))


def kept(name):
    return bytes.fromhex((HERE / name).read_text())


FAULTS = []


def compare(name, made, wanted):
    if made != wanted:
        FAULTS.append(f"{name}: kept {wanted!r}, made {made!r}")


def handshake():
    own, peer = count(0x00), count(0x20)
    secret, peer_secret = count(0x60), count(0xA0)
    nine = (9).to_bytes(32, "little")
    front = struct.pack("<BHHII", 1, 1, 2, 3, 1) + count(0x40) + x25519(secret, nine)
    slot = struct.pack("<Q", 2)
    cookie = hmac.new(count(0xD0), b"192.0.2.1:7000" + count(0x40) + slot, "sha256").digest()
    compare("retry.hex", b"\x05" + cookie, kept("retry.hex"))
    compare("hello_first.hex", front.ljust(256, b"\0"), kept("hello_first.hex"))
    hello = (front + cookie).ljust(256, b"\0")
    compare("hello.hex", hello, kept("hello.hex"))

    prk = extract(sha256(b"ringway stream 1"), x25519(secret, x25519(peer_secret, nine)))
    reply = struct.pack("<BHI", 2, 1, 3) + count(0x80) + x25519(peer_secret, nine)
    th1 = sha256(hello, reply)

    def handshake_seal(direction, counter, aad, plain):
        key = expand(prk, b"handshake key" + direction + th1)
        salt = expand(prk, b"handshake salt" + direction + th1, 4)
        return seal(key, salt, counter, aad, plain)

    def proof(name, node, th):
        return public(node) + sign(node, b"ringway stream 1 " + name + b"\0" + th + public(node))

    reply += handshake_seal(b"r", 0, th1, proof(b"responder", peer, th1))
    compare("reply.hex", reply, kept("reply.hex"))
    th2 = sha256(hello, reply)
    auth = b"\x03" + handshake_seal(b"i", 0, th2, proof(b"initiator", own, th2))
    compare("auth.hex", auth, kept("auth.hex"))
    th3 = sha256(hello, reply, auth)
    ready = b"\x04" + handshake_seal(b"r", 1, th3, count(0xC0, 16))
    compare("ready.hex", ready, kept("ready.hex"))

    nodes = " ".join(sha256(b"ringway node 1", public(node))[:16].hex() for node in (own, peer))
    compare("nodes.txt", nodes + "\n", (HERE / "nodes.txt").read_text())
    return prk, th3


def packets(prk, th3):
    for line in (HERE / "packets.txt").read_text().splitlines():
        direction, ch, incarnation, epoch, counter, header, plain, sealed = line.split()
        traffic = expand(prk, b"traffic" + direction.encode() + th3)
        secret = expand(traffic, b"channel" + struct.pack("<HI", int(ch), int(incarnation)))
        for _ in range(int(epoch)):
            secret = expand(secret, b"next")
        key, salt = expand(secret, b"key"), expand(secret, b"salt", 4)
        plain = bytes.fromhex(plain.strip("-"))
        made = seal(key, salt, int(counter), bytes.fromhex(header), plain)
        compare(f"packets.txt: {line[:20]}", made.hex(), sealed)


# ---- LZ4 blocks ----------------------------------------------------------------------------------


def decompress(message, most):
    (size,) = struct.unpack("<I", message[:4])
    block = message[4:]
    require(size <= min(most, 255 * len(block)), "an original size that cannot be")
    out, at = bytearray(), 0

    def length(nibble):
        nonlocal at
        total = nibble
        while nibble == 15 or nibble == 255:
            nibble, at = block[at], at + 1
            total += nibble
        return total

    while True:
        token, at = block[at], at + 1
        literals = length(token >> 4)
        require(at + literals <= len(block), "literals behind the end")
        out += block[at : at + literals]
        at += literals
        if at == len(block):
            require(len(out) == size, "another size than was said")
            return bytes(out)
        offset, at = int.from_bytes(block[at : at + 2], "little"), at + 2
        require(1 <= offset <= len(out), "a match before the beginning")
        for _ in range(length(token & 15) + 4):
            out.append(out[-offset])


# ---- The recorded session ------------------------------------------------------------------------

DATA, CONTROL, KEEPALIVE, CLOSE, ERROR = range(1, 6)
COMPRESSED, ENCRYPTED, FRAGMENTED, KEY_PHASE, BATCHED = 1, 2, 4, 8, 16
ENCRYPT, COMPRESS, BATCH = 1, 2, 4
PACKET_MAX, MESSAGE_MAX, TEXT_MAX, BATCH_MAX = 16384, 1 << 20, 256, 16
OTHER = {"i": "r", "r": "i"}


class Way:
    """One direction of a channel: what its receiver knows."""

    def __init__(self, secret, following):
        self.secret, self.epoch, self.next = secret, 0, following
        self.limit = 0
        self.begun = None
        self.last = None
        # The last key that its sender was told of: it may go one further.
        self.told_epoch = 0

    def open(self, header, flags, number, sealed):
        require(len(sealed) >= 16, "no tag")
        secret, epoch = self.secret, self.epoch
        if (flags & KEY_PHASE != 0) != (epoch & 1 == 1):
            require(self.told_epoch == epoch, "a key before the last one was told")
            secret, epoch = expand(secret, b"next"), epoch + 1
        plain = unseal(expand(secret, b"key"), expand(secret, b"salt", 4), number, header, sealed)
        require(plain is not None, "forged")
        self.secret, self.epoch = secret, epoch
        return plain


class Channel:
    def __init__(self, opener, incarnation, may_compress, ways):
        self.opener, self.incarnation, self.may_compress = opener, incarnation, may_compress
        self.ways, self.opening = ways, True


def nearest(near, low):
    """The 64-bit number next to `near` whose lower half is `low`."""
    distance = (low - near) % 2**32
    return near + distance - (2**32 if distance >= 2**31 else 0)


class Session:
    """Both ends' view of a session that is read packet by packet."""

    def __init__(self, ephemeral_secret):
        self.ephemeral_secret = ephemeral_secret
        self.parts = []
        self.keys = None
        self.zero = {"i": Way(None, 0), "r": Way(None, 0)}
        self.traffic = {}
        self.channels = {}
        self.incarnations = {"i": set(), "r": set()}
        self.pings = {}
        self.closed = set()

    def packet(self, end, bytes_):
        header, payload = bytes_[:12], bytes_[12:]
        size, kind, seq_id, ch, flags = struct.unpack("<IBIHB", header)
        require(size == len(payload) and size <= PACKET_MAX - 12, "size")
        require(DATA <= kind <= ERROR and (kind == DATA) == (ch != 0), "type and channel")
        require(flags < 32, "flags")
        require(kind == DATA or not flags & (COMPRESSED | FRAGMENTED | BATCHED), "flags of DATA")
        require(not flags & BATCHED or not flags & (COMPRESSED | FRAGMENTED), "flags of a batch")
        require(flags & ENCRYPTED or not flags & KEY_PHASE, "a phase of no key")
        if kind == DATA:
            require(ch in self.channels and not self.channels[ch].opening, "unknown channel")
            way = self.channels[ch].ways[end]
        else:
            way = self.zero[end]
        ahead = (seq_id - way.next) % 2**32
        require(ahead == 0, "nothing is lost or old on this byte stream")
        number = way.next + ahead
        if len(self.parts) < 4:
            require(kind == CONTROL and flags == 0 and end == "irir"[len(self.parts)], "order")
            words = self.handshake(payload)
        else:
            require(bool(flags & ENCRYPTED) == bool(self.features & ENCRYPT), "not as agreed on")
            if flags & ENCRYPTED:
                payload = way.open(header, flags, number, payload)
            if kind == DATA:
                words = self.data(end, ch, way, number, flags, payload)
            elif kind == CONTROL:
                words = self.control(end, payload)
            elif kind == KEEPALIVE:
                words = self.keepalive(end, payload)
            else:
                words = self.notice(end, kind, payload)
        way.next = number + 1
        return f"{end} channel {ch} epoch {way.epoch}: {words}"

    # The handshake

    def handshake(self, part):
        name = ("HELLO", "REPLY", "AUTH", "READY")[len(self.parts)]
        require(part[0] == len(self.parts) + 1, "op")
        require(len(part) == {"HELLO": 256, "REPLY": 183, "AUTH": 113, "READY": 33}[name], "length")
        self.parts.append(part)
        if name == "HELLO":
            self.offer = struct.unpack("<HHII", part[1:13])
            require(self.offer[0] <= self.offer[1] and not any(part[109:]), "HELLO")
            return name
        if name == "REPLY":
            hello = self.parts[0]
            version, self.features = struct.unpack("<HI", part[1:7])
            least, most, offers, requires = self.offer
            require(least <= version <= most, "version")
            require(not requires & ~self.features and not self.features & ~offers, "features")
            secret = x25519(self.ephemeral_secret, part[39:71])
            require(any(secret), "a weak ephemeral")
            self.prk = extract(sha256(b"ringway stream 1"), secret)
            self.th1, self.th2 = sha256(hello, part[:71]), sha256(hello, part)
            return f"REPLY node {self.proof('r', self.th1, self.th1, b'responder', part[71:])}"
        if name == "AUTH":
            return f"AUTH node {self.proof('i', self.th2, self.th2, b'initiator', part[1:])}"
        th3 = sha256(*self.parts[:3])
        session_id = self.unseal("r", 1, th3, part[1:])
        for end in "ir":
            self.traffic[end] = expand(self.prk, b"traffic" + end.encode() + th3)
            # Numbers go on over the handshake: this READY is still to be counted.
            self.zero[end].secret = self.channel_secret(end, 0, 0)
        return f"READY session {session_id.hex()}"

    def unseal(self, end, counter, aad, sealed):
        info = end.encode() + self.th1
        key = expand(self.prk, b"handshake key" + info)
        salt = expand(self.prk, b"handshake salt" + info, 4)
        plain = unseal(key, salt, counter, aad, sealed)
        require(plain is not None, "a sealed part that does not open")
        return plain

    def proof(self, end, aad, th, name, sealed):
        plain = self.unseal(end, 0, aad, sealed)
        identity, signature = plain[:32], plain[32:]
        verify(identity, b"ringway stream 1 " + name + b"\0" + th + identity, signature)
        return sha256(b"ringway node 1", identity)[:16].hex()

    def channel_secret(self, end, ch, incarnation):
        return expand(self.traffic[end], b"channel" + struct.pack("<HI", ch, incarnation))

    # Messages

    def data(self, end, ch, way, number, flags, payload):
        require(end not in self.closed, "DATA behind CLOSE")
        require(number < way.limit, "past the credit")
        require(way.last is None or number < way.last, "DATA behind SHUT")
        if flags & BATCHED:
            require(self.features & BATCH and way.begun is None, "a batch")
            said = [f"message {len(m)} bytes {sha256(m).hex()}" for m in self.batch(payload)]
            return ", ".join([f"DATA batch of {len(said)}", *said])
        compressed = bool(flags & COMPRESSED)
        allowed = self.features & COMPRESS and self.channels[ch].may_compress
        require(not compressed or allowed, "may not be compressed")
        words = "DATA compressed" if compressed else "DATA"
        if flags & FRAGMENTED:
            size, offset, full = struct.unpack("<III", payload[:12])
            payload = payload[12:]
            require(0 < size == len(payload) and offset + size <= full <= MESSAGE_MAX, "fragment")
            words += f" {offset}+{size} of {full}"
            if offset == 0:
                require(way.begun is None, "a message in another")
                way.begun = (full, compressed, b"")
            require(way.begun is not None, "no message has begun")
            before, dress, message = way.begun
            require((before, dress, len(message)) == (full, compressed, offset), "another piece")
            message += payload
            way.begun = (full, compressed, message)
            if len(message) < full:
                return words
        else:
            require(way.begun is None, "a message in another")
            message = payload
        way.begun = None
        if compressed:
            require(len(message) >= 4, "no original size")
            message = decompress(message, MESSAGE_MAX)
        require(len(message) <= MESSAGE_MAX, "message")
        return f"{words}, message {len(message)} bytes {sha256(message).hex()}"

    def batch(self, payload):
        messages = []
        while payload:
            (length,) = struct.unpack("<H", payload[:2])
            message, payload = payload[2 : 2 + length], payload[2 + length :]
            require(len(message) == length <= MESSAGE_MAX, "a message past the end")
            messages.append(message)
        require(2 <= len(messages) <= BATCH_MAX, "too few messages, or too many")
        return messages

    # Words about channels

    def control(self, end, payload):
        op, ch, incarnation = struct.unpack("<BHI", payload[:7])
        require(ch != 0, "a word about channel 0")
        names = ("OPEN", "OPENED", "REFUSED", "SHUT", "GONE", "CREDIT", "BLOCKED")
        require(0x10 <= op <= 0x16, "op")
        name = names[op - 0x10]
        require(name != "GONE", "GONE on a byte stream")
        forms = {"OPEN": "<BBI", "OPENED": "<II", "REFUSED": "<H", "CREDIT": "<II"}
        form = forms.get(name, "<I")
        require(len(payload) == 7 + struct.calcsize(form), "length")
        fields = struct.unpack(form, payload[7:])
        said = f"{name} {ch}.{incarnation}"
        if name == "OPEN":
            return said + self.open(end, ch, incarnation, *fields)
        channel = self.channels.get(ch)
        require(channel is not None and channel.incarnation == incarnation, "no such channel")
        return said + getattr(self, name.lower())(end, ch, channel, *fields)

    def open(self, end, ch, incarnation, kind, flags, credit):
        require(flags <= 1 and end not in self.closed, "OPEN")
        require(ch % 2 == (1 if end == "i" else 0) and ch not in self.channels, "its number")
        ways = {end: Way(self.own_secret(end, ch, incarnation), 0), OTHER[end]: Way(None, 0)}
        ways[OTHER[end]].limit = credit
        self.channels[ch] = Channel(end, incarnation, bool(flags & 1), ways)
        return f" type {kind} flags {flags} credit {credit}"

    def own_secret(self, end, ch, own):
        """Each end seals under an incarnation that it chose, and never one twice."""
        require(own > 0 and own not in self.incarnations[end], "incarnation")
        self.incarnations[end].add(own)
        return self.channel_secret(end, ch, own)

    def opened(self, end, ch, channel, own, credit):
        require(channel.opening and channel.opener != end, "OPENED")
        channel.ways[end].secret = self.own_secret(end, ch, own)
        channel.opening, channel.ways[OTHER[end]].limit = False, credit
        return f" own {own} credit {credit}"

    def refused(self, end, ch, channel, code):
        require(channel.opening and channel.opener != end, "REFUSED")
        del self.channels[ch]
        return f" code {code}"

    def shut(self, end, ch, channel, last):
        way = channel.ways[end]
        require(not channel.opening and way.last is None, "SHUT")
        way.last = nearest(way.next, last)
        require(way.last == way.next, "last")
        if channel.ways[OTHER[end]].last is not None:
            del self.channels[ch]
        return f" last {last}"

    def credit(self, end, ch, channel, limit, epoch):
        way = channel.ways[OTHER[end]]
        require(not channel.opening and epoch == way.epoch, "CREDIT")
        way.limit, way.told_epoch = max(way.limit, nearest(way.limit, limit)), epoch
        return f" limit {limit} epoch {epoch}"

    def blocked(self, end, ch, channel, limit):
        require(nearest(channel.ways[end].limit, limit) == channel.ways[end].limit, "BLOCKED")
        return f" limit {limit}"

    # Keepalive and the end

    def keepalive(self, end, payload):
        require(len(payload) == 13, "length")
        op, token, epoch = struct.unpack("<BQI", payload)
        way = self.zero[OTHER[end]]
        require(op <= 1 and epoch == way.epoch, "KEEPALIVE")
        way.told_epoch = epoch
        if op == 0:
            self.pings[end] = token
        else:
            require(self.pings.pop(OTHER[end]) == token, "the token of the ping")
        return f"{'PONG' if op else 'PING'} token {token} epoch {epoch}"

    def notice(self, end, kind, payload):
        require(kind == CLOSE, "no ERROR is in the session")
        (code,) = struct.unpack("<H", payload[:2])
        require(len(payload) <= 2 + TEXT_MAX and end not in self.closed, "CLOSE")
        self.closed.add(end)
        return f"CLOSE code {code} \"{payload[2:].decode()}\""


def session():
    lines = [line.split() for line in (HERE / "session.txt").read_text().splitlines()]
    record = [(end, bytes.fromhex(packet)) for end, packet in lines]
    nine = (9).to_bytes(32, "little")
    hello, reply = record[0][1][12:], record[1][1][12:]
    compare("the initiator's ephemeral", hello[45:77], x25519(count(0x60), nine))
    compare("the responder's ephemeral", reply[39:71], x25519(count(0xA0), nine))
    compare("both nonces", (hello[13:45], reply[7:39]), (count(0x40), count(0x80)))
    # Both ends come to the same secret; the session is read with the initiator's.
    shared = x25519(count(0xA0), hello[45:77])
    compare("the shared secret", shared, x25519(count(0x60), reply[39:71]))
    reader, said = Session(count(0x60)), ""
    for index, (end, packet) in enumerate(record):
        try:
            line = f"{index} {reader.packet(end, packet)}\n"
        except (Fault, IndexError, struct.error) as fault:
            FAULTS.append(f"session.txt, packet {index} of {end}: {fault}")
            break
        said += line
    print(said, end="")
    compare("both have closed", reader.closed, {"i", "r"})
    compare("session_said.txt", said, (HERE / "session_said.txt").read_text())


packets(*handshake())
session()
for fault in FAULTS:
    print(fault, file=sys.stderr)
sys.exit(bool(FAULTS))
