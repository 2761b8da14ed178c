//! A decoder of DEFLATE (RFC 1951) that is as plain as the text of the RFC, and notes how far back its input
//! has reached. It panics on what is none.

/// The decoder, with all that it has ever written.
pub struct Plain {
    history: Vec<u8>,
    /// The farthest that any match has reached back.
    pub farthest: usize,
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> usize {
        let bit = |at: usize| usize::from(self.bytes[at / 8] >> (at % 8) & 1);
        let value = (0..count).map(|index| bit(self.at + index) << index).sum();
        self.at += count;
        value
    }

    fn is_at_end(&self) -> bool {
        self.at.div_ceil(8) >= self.bytes.len()
    }
}

/// A prefix code: how many of its words have each length, and what they stand for in order.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let mut counts = [0; 16];
        lengths.iter().filter(|&&length| length > 0).for_each(|&length| counts[length] += 1);
        let of = |wanted| {
            let symbols = lengths.iter().enumerate();
            symbols.filter(move |&(_, &length)| length == wanted).map(|(symbol, _)| symbol)
        };
        Self { counts, symbols: (1..16).flat_map(of).collect() }
    }

    fn read(&self, bits: &mut Bits<'_>) -> usize {
        let (mut word, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            word |= bits.take(1);
            if word < first + count {
                return self.symbols[index + word - first];
            }
            index += count;
            first = (first + count) << 1;
            word <<= 1;
        }
        panic!("no such word")
    }
}

const LENGTHS: [usize; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
];
const DISTANCES: [usize; 30] = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
    2049, 3073, 4097, 6145, 8193, 12_289, 16_385, 24_577,
];
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

impl Plain {
    pub fn new() -> Self {
        Self { history: Vec::new(), farthest: 0 }
    }

    /// One message, with the tail that the wire leaves out.
    pub fn message(&mut self, wire: &[u8]) -> Vec<u8> {
        let start = self.history.len();
        let bytes = [wire, &[0, 0, 0xff, 0xff]].concat();
        let mut bits = Bits { bytes: &bytes, at: 0 };
        while !bits.is_at_end() {
            let _last = bits.take(1);
            match bits.take(2) {
                0 => self.stored(&mut bits),
                1 => {
                    let mut lengths = vec![8; 288];
                    lengths[144..256].fill(9);
                    lengths[256..280].fill(7);
                    self.block(&mut bits, &Code::new(&lengths), &Code::new(&[5; 30]));
                }
                2 => {
                    let (literals, distances) = read_codes(&mut bits);
                    self.block(&mut bits, &literals, &distances);
                }
                _ => panic!("no such block"),
            }
        }
        self.history[start..].to_vec()
    }

    fn stored(&mut self, bits: &mut Bits<'_>) {
        bits.at = bits.at.next_multiple_of(8);
        let (len, inverse) = (bits.take(16), bits.take(16));
        assert_eq!(len ^ 0xffff, inverse);
        let bytes: Vec<u8> = (0..len).map(|_| bits.take(8) as u8).collect();
        self.history.extend(bytes);
    }

    fn block(&mut self, bits: &mut Bits<'_>, literals: &Code, distances: &Code) {
        loop {
            match literals.read(bits) {
                byte @ 0..256 => self.history.push(byte as u8),
                256 => return,
                symbol => {
                    let index = symbol - 257;
                    let extra = if index < 8 || index == 28 { 0 } else { index / 4 - 1 };
                    let length = LENGTHS[index] + bits.take(extra);
                    let index = distances.read(bits);
                    let distance = DISTANCES[index] + bits.take((index / 2).saturating_sub(1));
                    self.farthest = self.farthest.max(distance);
                    for _ in 0..length {
                        self.history.push(self.history[self.history.len() - distance]);
                    }
                }
            }
        }
    }
}

fn read_codes(bits: &mut Bits<'_>) -> (Code, Code) {
    let (literals, distances) = (bits.take(5) + 257, bits.take(5) + 1);
    let mut order = [0; 19];
    let count = bits.take(4) + 4;
    ORDER[..count].iter().for_each(|&place| order[place] = bits.take(3));
    let code = Code::new(&order);
    let mut lengths: Vec<usize> = Vec::new();
    while lengths.len() < literals + distances {
        let (length, times) = match code.read(bits) {
            16 => (*lengths.last().expect("something to repeat"), 3 + bits.take(2)),
            17 => (0, 3 + bits.take(3)),
            18 => (0, 11 + bits.take(7)),
            length => (length, 1),
        };
        lengths.extend(std::iter::repeat_n(length, times));
    }
    (Code::new(&lengths[..literals]), Code::new(&lengths[literals..]))
}
