//! `index_metadata.pickle`: which label of an HNSW folder is which record.
//!
//! A pickle is a program for a small stack machine, and Python's machine can import modules and call functions. This one cannot:
//! it knows the operations that build strings, numbers, tuples and dictionaries, and takes the one class that Chroma's own
//! files name, up to 0.6, as a bag of attributes. Anything else is refused. It never recurses, and takes memory in proportion to the
//! file.

use std::collections::HashMap;

use ferrochrome_types::{Code, Error, Result};

/// The class whose attributes Chroma stored up to 0.6.
const CLASS: (&str, &str) = ("chromadb.segment.impl.vector.local_persistent_hnsw", "PersistentData");

/// What the pickle says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PersistentData {
    /// The last write that the index contains; only 0.4 says so here.
    pub max_seq_id: Option<i64>,
    /// Labels by the user's id, where both directions agree.
    pub labels: HashMap<String, u64>,
    /// Ids whose two entries contradict one another.
    pub contradictions: Vec<String>,
}

/// A value on the machine's stack. Texts lie in the file; dictionaries in the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Item<'a> {
    None,
    Bool,
    Int(i64),
    Float,
    Str(&'a str),
    Bytes,
    Tuple,
    Class,
    /// Index in `Machine::dicts`.
    Dict(usize),
    Mark,
}

struct Machine<'a> {
    file: &'a str,
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Item<'a>>,
    memo: HashMap<u32, Item<'a>>,
    dicts: Vec<Vec<(Item<'a>, Item<'a>)>>,
}

/// Reads a pickle; `file` is what messages call it.
///
/// # Errors
/// `Untrusted` where it would run code or make objects of other classes, `Corrupted` where it is cut off or malformed.
pub(crate) fn read(file: &str, bytes: &[u8]) -> Result<PersistentData> {
    let mut machine =
        Machine { file, bytes, at: 0, stack: Vec::new(), memo: HashMap::new(), dicts: Vec::new() };
    let attributes = machine.run()?;
    machine.persistent_data(attributes)
}

impl<'a> Machine<'a> {
    fn damaged(&self, what: &str) -> Error {
        Error::corrupted(self.file, format!("{what} at byte {}", self.at))
    }

    fn refused(&self, what: impl std::fmt::Display) -> Error {
        Error::new(
            Code::Untrusted,
            format!(
                "{} was refused, and nothing in it was run: it {what}, which no index of Chroma does",
                self.file
            ),
        )
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.damaged("it ends too early"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| self.damaged("it ends too early"))
    }

    fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn text(&mut self, length: usize) -> Result<&'a str> {
        let taken = self.take(length)?;
        std::str::from_utf8(taken).map_err(|_| self.damaged("a text is not UTF-8"))
    }

    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at..];
        let length =
            rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| self.damaged("it ends too early"))?;
        let line = self.text(length)?;
        self.at += 1;
        Ok(line)
    }

    fn pop(&mut self) -> Result<Item<'a>> {
        match self.stack.pop() {
            Some(Item::Mark) | None => Err(self.damaged("a value is missing")),
            Some(item) => Ok(item),
        }
    }

    fn top_dict(&self) -> Result<usize> {
        match self.stack.last() {
            Some(Item::Dict(dict)) => Ok(*dict),
            _ => Err(self.damaged("a dictionary is missing")),
        }
    }

    /// What was put on the stack since the last mark, which is removed.
    fn since_mark(&mut self) -> Result<Vec<Item<'a>>> {
        let mark = self.stack.iter().rposition(|item| *item == Item::Mark);
        let mark = mark.ok_or_else(|| self.damaged("a mark is missing"))?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn remember(&mut self, index: u32) -> Result<()> {
        let item = *self.stack.last().ok_or_else(|| self.damaged("a value is missing"))?;
        self.memo.insert(index, item);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<()> {
        let item = *self.memo.get(&index).ok_or_else(|| self.damaged("a remembered value is missing"))?;
        self.stack.push(item);
        Ok(())
    }

    fn push_dict(&mut self) {
        self.stack.push(Item::Dict(self.dicts.len()));
        self.dicts.push(Vec::new());
    }

    fn class(&self, module: &str, name: &str) -> Result<Item<'a>> {
        if (module, name) == CLASS {
            return Ok(Item::Class);
        }
        let shown: String = format!("{module}.{name}").escape_debug().take(80).collect();
        Err(self.refused(format_args!("names `{shown}`")))
    }

    /// Runs the program; the dictionary that it leaves.
    fn run(&mut self) -> Result<usize> {
        loop {
            match self.byte()? {
                b'.' => break,
                opcode => self.step(opcode)?,
            }
        }
        match (self.stack.pop(), self.stack.is_empty()) {
            (Some(Item::Dict(dict)), true) => Ok(dict),
            _ => Err(self.damaged("it is no dictionary")),
        }
    }

    fn step(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            0x80 => match self.byte()? {
                0..=5 => {}
                _ => return Err(self.damaged("its protocol is unknown")),
            },
            // FRAME: a hint for reading ahead.
            0x95 => _ = self.take(8)?,
            b'(' => self.stack.push(Item::Mark),
            b'}' => self.push_dict(),
            b')' => self.stack.push(Item::Tuple),
            b't' => {
                self.since_mark()?;
                self.stack.push(Item::Tuple);
            }
            0x85..=0x87 => {
                for _ in 0x84..opcode {
                    self.pop()?;
                }
                self.stack.push(Item::Tuple);
            }
            b'N' => self.stack.push(Item::None),
            0x88 | 0x89 => self.stack.push(Item::Bool),
            b'K' | b'M' | b'J' | 0x8a => {
                let number = self.integer(opcode)?;
                self.stack.push(number);
            }
            b'G' => {
                self.take(8)?;
                self.stack.push(Item::Float);
            }
            0x8c | b'X' | 0x8d | b'C' | b'B' | 0x8e => self.string(opcode)?,
            0x94 => self.remember(self.memo.len() as u32)?,
            b'q' => {
                let index = self.byte()?.into();
                self.remember(index)?;
            }
            b'r' => {
                let index = self.u32()?;
                self.remember(index)?;
            }
            b'h' => {
                let index = self.byte()?.into();
                self.recall(index)?;
            }
            b'j' => {
                let index = self.u32()?;
                self.recall(index)?;
            }
            b's' | b'u' => self.set_items(opcode)?,
            b'c' | 0x93 | 0x81 | b'b' => self.object(opcode)?,
            b'R' | b'i' | b'o' | 0x92 => return Err(self.refused("asks to call a function")),
            b'P' | b'Q' | 0x82..=0x84 => return Err(self.refused("asks for an object from elsewhere")),
            other => return Err(self.refused(format_args!("uses the operation {other:#04x}"))),
        }
        Ok(())
    }

    fn integer(&mut self, opcode: u8) -> Result<Item<'a>> {
        let number = match opcode {
            b'K' => self.byte()?.into(),
            b'M' => u16::from_le_bytes(self.array()?).into(),
            b'J' => i32::from_le_bytes(self.array()?).into(),
            // LONG1: little-endian, two's complement.
            _ => {
                let length = self.byte()?.into();
                let bytes = self.take(length)?;
                if bytes.len() > 8 {
                    return Err(self.damaged("a number is too large"));
                }
                let fill = if bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
                let mut wide = [fill; 8];
                wide[..bytes.len()].copy_from_slice(bytes);
                i64::from_le_bytes(wide)
            }
        };
        Ok(Item::Int(number))
    }

    fn string(&mut self, opcode: u8) -> Result<()> {
        let length = match opcode {
            0x8c | b'C' => self.byte()?.into(),
            b'X' | b'B' => self.u32()? as usize,
            _ => {
                let length = u64::from_le_bytes(self.array()?);
                usize::try_from(length).map_err(|_| self.damaged("it ends too early"))?
            }
        };
        let item = match opcode {
            b'C' | b'B' | 0x8e => self.take(length).map(|_| Item::Bytes)?,
            _ => Item::Str(self.text(length)?),
        };
        self.stack.push(item);
        Ok(())
    }

    fn set_items(&mut self, opcode: u8) -> Result<()> {
        let items = if opcode == b's' {
            let value = self.pop()?;
            vec![self.pop()?, value]
        } else {
            self.since_mark()?
        };
        let dict = self.top_dict()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.damaged("a key has no value"));
        }
        self.dicts[dict].extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    /// The operations by which the one class is named and filled.
    fn object(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                let class = self.class(module, name)?;
                self.stack.push(class);
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Item::Str(module), Item::Str(name)) = (module, name) else {
                    return Err(self.refused("names a class by something else than a text"));
                };
                let class = self.class(module, name)?;
                self.stack.push(class);
            }
            0x81 => match (self.pop()?, self.pop()?) {
                (Item::Tuple, Item::Class) => self.push_dict(),
                _ => return Err(self.refused("makes an object of no class")),
            },
            // BUILD: the attributes of the object below them.
            _ => {
                let Item::Dict(state) = self.pop()? else {
                    return Err(self.refused("gives an object a state that is no dictionary"));
                };
                // The object has nothing but these: no copy, which a hostile file would ask for again and again.
                self.top_dict()?;
                self.stack.pop();
                self.stack.push(Item::Dict(state));
            }
        }
        Ok(())
    }

    fn persistent_data(&self, attributes: usize) -> Result<PersistentData> {
        let attribute = |name: &str| {
            let found = self.dicts[attributes].iter().rev().find(|(key, _)| *key == Item::Str(name));
            found.map(|(_, value)| *value)
        };
        let dict = |name: &str| match attribute(name) {
            Some(Item::Dict(dict)) => Ok(&self.dicts[dict]),
            _ => Err(Error::corrupted(self.file, format!("it has no dictionary `{name}`"))),
        };
        let mut ids = HashMap::new();
        for (label, id) in dict("label_to_id")? {
            if let (Item::Int(label), Item::Str(id)) = (label, id) {
                ids.insert(*label, *id);
            }
        }
        let mut data = PersistentData::default();
        if let Some(Item::Int(seq)) = attribute("max_seq_id") {
            data.max_seq_id = Some(seq);
        }
        for (id, label) in dict("id_to_label")? {
            let (Item::Str(id), Item::Int(label)) = (id, label) else { continue };
            match u64::try_from(*label) {
                Ok(unsigned) if ids.get(label) == Some(id) => {
                    data.labels.insert((*id).to_owned(), unsigned);
                }
                _ => data.contradictions.push((*id).to_owned()),
            }
        }
        Ok(data)
    }
}

#[cfg(test)]
#[path = "pickle_tests.rs"]
mod tests;
