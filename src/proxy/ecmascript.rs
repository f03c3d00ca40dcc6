//! repro's regular expressions in the words of our engine.
//!
//! repro takes ECMAScript as `std::regex` reads it, octet by octet. The engine's own syntax gives another meaning to
//! much of that (`\<` is a word boundary there, `a++` never goes back, `[[` opens a class in a class), so nothing is
//! handed on as it is: a pattern is read here by the rules of ECMAScript and written anew.
//!
//! Deviation: a quantifier behind a quantifier (`a**`), an equivalence class or collating symbol (`[[=a=]]`, `[[.a.]]`)
//! and a count above 1000 are refused; no rule for SIP needs them.

use std::fmt::Write as _;

/// Groups within groups that a pattern may have.
const MAX_DEPTH: usize = 32;
/// Highest count in `{n,m}`.
const MAX_COUNT: u32 = 1000;

/// Where a pattern is none, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SyntaxFault {
    /// Octets of the pattern before it.
    pub(super) position: usize,
    /// What is wrong there.
    pub(super) fault: &'static str,
}

/// A pattern in the engine's words.
pub(super) struct Translation {
    pub(super) text: String,
    /// Number of capturing groups.
    pub(super) groups: usize,
    /// Whether it has what the engine can find only by trying: a back reference or a look-ahead.
    pub(super) backtracks: bool,
}

/// A set of octets, a bit for each.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Octets([u64; 4]);

impl Octets {
    const NONE: Self = Self([0; 4]);

    fn of(such: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::NONE;
        (0..=u8::MAX)
            .filter(|octet| such(*octet))
            .for_each(|octet| set.insert(octet));
        set
    }

    fn insert(&mut self, octet: u8) {
        if let Some(bits) = self.0.get_mut(usize::from(octet / 64)) {
            *bits |= 1 << (octet % 64);
        }
    }

    fn has(&self, octet: u8) -> bool {
        self.0
            .get(usize::from(octet / 64))
            .is_some_and(|bits| bits & (1 << (octet % 64)) != 0)
    }

    fn add(&mut self, other: &Self) {
        for (bits, others) in self.0.iter_mut().zip(other.0) {
            *bits |= others;
        }
    }

    fn inverted(&self) -> Self {
        Self(self.0.map(|bits| !bits))
    }

    /// Appends the class that the engine has for it.
    fn write(&self, out: &mut String) {
        if *self == Self::NONE {
            // What never matches: ECMAScript has the empty class, the engine writes it so.
            out.push_str("[^\\x00-\\xFF]");
            return;
        }
        out.push('[');
        let mut next = Some(0_u8);
        while let Some(from) = next {
            let Some(first) = (from..=u8::MAX).find(|o| self.has(*o)) else {
                break;
            };
            let last = (first..=u8::MAX)
                .take_while(|o| self.has(*o))
                .last()
                .unwrap_or(first);
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{first:02X}-\\x{last:02X}");
            next = last.checked_add(1);
        }
        out.push(']');
    }
}

/// What `\d`, `\D` and their kind stand for.
fn class_escape(letter: u8) -> Option<Octets> {
    let set = match letter.to_ascii_lowercase() {
        b'd' => Octets::of(|o| o.is_ascii_digit()),
        b'w' => Octets::of(|o| o.is_ascii_alphanumeric() || o == b'_'),
        b's' => Octets::of(|o| matches!(o, b' ' | b'\t'..=b'\r')),
        _ => return None,
    };
    Some(if letter.is_ascii_uppercase() {
        set.inverted()
    } else {
        set
    })
}

/// What `[:name:]` stands for.
fn named_class(name: &[u8]) -> Option<Octets> {
    let such: fn(&u8) -> bool = match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |o| matches!(o, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |o| o.is_ascii_graphic() || *o == b' ',
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |o| matches!(o, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        [letter @ (b'd' | b's' | b'w')] => return class_escape(*letter),
        _ => return None,
    };
    Some(Octets::of(|octet| such(&octet)))
}

/// Translates a pattern.
pub(super) fn translate(pattern: &str) -> Result<Translation, SyntaxFault> {
    let mut reader = Reader {
        pattern: pattern.as_bytes(),
        at: 0,
        out: String::with_capacity(pattern.len() * 2),
        groups: 0,
        backtracks: false,
        open: Vec::new(),
        repeatable: false,
    };
    reader.read()?;
    Ok(Translation {
        text: reader.out,
        groups: reader.groups,
        backtracks: reader.backtracks,
    })
}

/// A group that has been opened: where, its number if it captures, whether it may be repeated.
struct Open {
    position: usize,
    number: Option<usize>,
    repeatable: bool,
}

struct Reader<'p> {
    pattern: &'p [u8],
    at: usize,
    out: String,
    groups: usize,
    backtracks: bool,
    open: Vec<Open>,
    /// Whether a quantifier may follow.
    repeatable: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let octet = self.peek()?;
        self.at += 1;
        Some(octet)
    }

    fn skip(&mut self, text: &[u8]) -> bool {
        let found = self
            .pattern
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(text));
        if found {
            self.at += text.len();
        }
        found
    }

    fn read(&mut self) -> Result<(), SyntaxFault> {
        loop {
            let position = self.at;
            let Some(octet) = self.next() else {
                break;
            };
            self.item(octet)
                .map_err(|fault| SyntaxFault { position, fault })?;
        }
        match self.open.last() {
            Some(open) => Err(SyntaxFault {
                position: open.position,
                fault: "this group is not closed",
            }),
            None => Ok(()),
        }
    }

    fn item(&mut self, octet: u8) -> Result<(), &'static str> {
        match octet {
            b'^' => self.assertion("^"),
            b'$' => self.assertion("$"),
            b'|' => self.assertion("|"),
            b'.' => self.class(&Octets::of(|o| !matches!(o, b'\n' | b'\r'))),
            b'(' => return self.open(),
            b')' => return self.close(),
            b'*' | b'+' | b'?' => {
                self.quantified()?;
                self.out.push(char::from(octet));
                self.lazy();
            }
            b'{' => return self.count(),
            b'[' => {
                let set = self.bracket()?;
                self.class(&set);
            }
            b'\\' => return self.escape(),
            literal => self.literal(literal),
        }
        Ok(())
    }

    fn assertion(&mut self, text: &str) {
        self.out.push_str(text);
        self.repeatable = false;
    }

    fn class(&mut self, set: &Octets) {
        set.write(&mut self.out);
        self.repeatable = true;
    }

    fn literal(&mut self, octet: u8) {
        if octet.is_ascii_alphanumeric() {
            self.out.push(char::from(octet));
        } else if octet.is_ascii() {
            let _ = write!(self.out, "\\x{octet:02X}");
        } else {
            // Outside a class this would be the character of that number, and not the octet.
            let _ = write!(self.out, "[\\x{octet:02X}]");
        }
        self.repeatable = true;
    }

    fn open(&mut self) -> Result<(), &'static str> {
        if self.open.len() == MAX_DEPTH {
            return Err("too many groups within groups");
        }
        let position = self.at - 1;
        let (text, number, repeatable) = if self.skip(b"?:") {
            ("(?:", None, true)
        } else if self.skip(b"?=") {
            ("(?=", None, false)
        } else if self.skip(b"?!") {
            ("(?!", None, false)
        } else if self.peek() == Some(b'?') {
            return Err("of groups with a question mark there are (?:, (?= and (?!");
        } else {
            self.groups += 1;
            ("(", Some(self.groups), true)
        };
        // Only a look-ahead cannot be repeated.
        self.backtracks |= !repeatable;
        self.out.push_str(text);
        self.open.push(Open {
            position,
            number,
            repeatable,
        });
        self.repeatable = false;
        Ok(())
    }

    fn close(&mut self) -> Result<(), &'static str> {
        let open = self.open.pop().ok_or("no group is open here")?;
        if self.out.ends_with("(?:") {
            // The engine repeats no group without anything in it; a choice of two nothings it does.
            self.out.push('|');
        }
        self.out.push(')');
        self.repeatable = open.repeatable;
        Ok(())
    }

    fn quantified(&mut self) -> Result<(), &'static str> {
        match std::mem::take(&mut self.repeatable) {
            true => Ok(()),
            false => Err("there is nothing to repeat"),
        }
    }

    fn lazy(&mut self) {
        if self.skip(b"?") {
            self.out.push('?');
        }
    }

    /// What follows a `{`.
    fn count(&mut self) -> Result<(), &'static str> {
        const FAULT: &str =
            "this is no count: {n}, {n,} or {n,m}, at most 1000; write \\{ for a brace";
        self.quantified()?;
        let least = self.number(10, u32::MAX).ok_or(FAULT)?;
        let most = if self.skip(b",") {
            match self.peek() {
                Some(b'}') => None,
                _ => Some(self.number(10, u32::MAX).ok_or(FAULT)?),
            }
        } else {
            Some(least)
        };
        let in_order = most.is_none_or(|most| least <= most);
        if !self.skip(b"}") || !in_order || most.unwrap_or(least) > MAX_COUNT {
            return Err(FAULT);
        }
        let _ = match most {
            Some(most) => write!(self.out, "{{{least},{most}}}"),
            None => write!(self.out, "{{{least},}}"),
        };
        self.lazy();
        Ok(())
    }

    /// A number of at most so many digits; `None` without any, or when it is more than 32 bits hold.
    fn number(&mut self, radix: u32, digits: u32) -> Option<u32> {
        let mut number = None;
        let mut left = digits;
        while left > 0
            && let Some(digit) = self.peek().and_then(|o| char::from(o).to_digit(radix))
        {
            let sum = number.unwrap_or(0_u32).checked_mul(radix)?;
            number = Some(sum.checked_add(digit)?);
            self.at += 1;
            left -= 1;
        }
        number
    }

    /// What follows a backslash outside a class.
    fn escape(&mut self) -> Result<(), &'static str> {
        match self.peek() {
            Some(b'b') => {
                self.at += 1;
                self.assertion("\\b");
            }
            Some(b'B') => {
                self.at += 1;
                self.assertion("\\B");
            }
            Some(b'1'..=b'9') => {
                let number = self
                    .number(10, u32::MAX)
                    .and_then(|n| usize::try_from(n).ok());
                let is_open = |number| self.open.iter().any(|open| open.number == Some(number));
                let number = number
                    .filter(|n| *n <= self.groups && !is_open(*n))
                    .ok_or("no group of this number is closed before it")?;
                let _ = write!(self.out, "(?:\\{number})");
                self.backtracks = true;
                self.repeatable = true;
            }
            Some(letter) => match class_escape(letter) {
                Some(set) => {
                    self.at += 1;
                    self.class(&set);
                }
                None => {
                    let octet = self.escaped_octet()?;
                    self.literal(octet);
                }
            },
            None => return Err("nothing follows this backslash"),
        }
        Ok(())
    }

    /// The octet that is escaped, its backslash behind us.
    fn escaped_octet(&mut self) -> Result<u8, &'static str> {
        const FAULT: &str = "this escape is not complete";
        Ok(match self.next().ok_or("nothing follows this backslash")? {
            b'0' => 0,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'c' => {
                let letter = self.next().filter(u8::is_ascii_alphabetic).ok_or(FAULT)?;
                letter & 0x1f
            }
            b'x' => self.hexadecimal(2).ok_or(FAULT)?,
            // `std::regex` keeps the low octet; a character beyond cannot be meant.
            b'u' => self
                .hexadecimal(4)
                .ok_or("of \\u there are \\u0000 to \\u00ff")?,
            octet => octet,
        })
    }

    fn hexadecimal(&mut self, digits: u32) -> Option<u8> {
        let start = self.at;
        let number = self.number(16, digits)?;
        (self.at - start == usize::try_from(digits).ok()?)
            .then_some(number)
            .and_then(|n| u8::try_from(n).ok())
    }

    /// A class, its opening bracket behind us.
    fn bracket(&mut self) -> Result<Octets, &'static str> {
        const OPEN: &str = "this class is not closed";
        let negated = self.skip(b"^");
        let mut set = Octets::NONE;
        loop {
            if self.skip(b"]") {
                return Ok(if negated { set.inverted() } else { set });
            }
            let first = match self.member(OPEN)? {
                Member::Class(class) => {
                    set.add(&class);
                    continue;
                }
                Member::Octet(octet) => octet,
            };
            set.insert(first);
            let rest = self.pattern.get(self.at..).unwrap_or_default();
            // A hyphen at the end of the class is one.
            if rest.first() != Some(&b'-') || rest.get(1) == Some(&b']') {
                continue;
            }
            self.at += 1;
            match self.member(OPEN)? {
                // Nor is a range to a class one.
                Member::Class(class) => {
                    set.insert(b'-');
                    set.add(&class);
                }
                Member::Octet(last) if first <= last => {
                    set.add(&Octets::of(|o| (first..=last).contains(&o)));
                }
                Member::Octet(_) => return Err("this class has a range that runs backwards"),
            }
        }
    }

    fn member(&mut self, open: &'static str) -> Result<Member, &'static str> {
        match self.next().ok_or(open)? {
            b'[' if self.skip(b":") => {
                let rest = self.pattern.get(self.at..).unwrap_or_default();
                let end = memchr::memmem::find(rest, b":]").ok_or(open)?;
                let name = rest.get(..end).unwrap_or_default();
                let set = named_class(name).ok_or("no class is named so")?;
                self.at += end + 2;
                Ok(Member::Class(set))
            }
            b'[' if matches!(self.peek(), Some(b'=' | b'.')) => {
                Err("classes [= and [. are not supported; write the characters")
            }
            b'\\' => match self.peek() {
                Some(b'b') => {
                    self.at += 1;
                    Ok(Member::Octet(0x08))
                }
                Some(b'1'..=b'9') => Err("a class has no back references"),
                Some(letter) => match class_escape(letter) {
                    Some(set) => {
                        self.at += 1;
                        Ok(Member::Class(set))
                    }
                    None => self.escaped_octet().map(Member::Octet),
                },
                None => Err(open),
            },
            octet => Ok(Member::Octet(octet)),
        }
    }
}

/// What may stand in a class.
enum Member {
    Octet(u8),
    Class(Octets),
}
