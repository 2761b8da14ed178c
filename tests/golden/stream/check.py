#!/usr/bin/env python3
"""A second implementation of the stream's handshake and of its sealing, in plain Python: it makes the
files beside it from the secrets that README.md names, and ends with status 1 where one differs.

For checking alone: nothing here takes the same time for all secrets.
"""

import hashlib
import hmac
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).parent


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


def seal(key, salt, counter, aad, plain):
    keys = round_keys(key)
    nonce = salt + struct.pack("<Q", counter)
    stream = b"".join(aes(keys, nonce + struct.pack(">I", i + 2)) for i in range(len(plain) // 16 + 1))
    sealed = bytes(a ^ b for a, b in zip(plain, stream))
    h, tag = int.from_bytes(aes(keys, bytes(16)), "big"), 0
    padded = lambda part: part + bytes(-len(part) % 16)
    hashed = padded(aad) + padded(sealed) + struct.pack(">QQ", 8 * len(aad), 8 * len(sealed))
    for i in range(0, len(hashed), 16):
        tag = gmul(tag ^ int.from_bytes(hashed[i : i + 16], "big"), h)
    mask = int.from_bytes(aes(keys, nonce + struct.pack(">I", 1)), "big")
    return sealed + (tag ^ mask).to_bytes(16, "big")


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


packets(*handshake())
for fault in FAULTS:
    print(fault, file=sys.stderr)
sys.exit(bool(FAULTS))
