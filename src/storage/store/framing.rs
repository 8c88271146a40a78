//! Bytes that read back in one way only: numbers are little-endian, and what has no fixed length is framed by it. Reading is
//! checked as if an enemy had written. Knows nothing of what is written.

/// Bytes that are written.
#[derive(Default)]
pub(super) struct Bytes(Vec<u8>);

impl Bytes {
    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Of a length that whoever reads them knows.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// How many there are of something. Lists come out of memory, and names from the file system: neither has four billion
    /// parts.
    pub fn count(&mut self, count: usize) {
        self.bytes(&(count as u32).to_le_bytes());
    }

    pub fn framed(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes(bytes);
    }

    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Bytes that are not read yet; everything takes from their front, and is `None` where they are too short.
pub(super) struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    pub fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.chunk::<1>().map(|[byte]| *byte)
    }

    pub fn chunk<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(chunk)
    }

    pub fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.chunk()?))
    }

    pub fn count(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(*self.chunk()?)).ok()
    }

    pub fn framed(&mut self) -> Option<&'a [u8]> {
        let length = self.count()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub fn text(&mut self) -> Option<String> {
        String::from_utf8(self.framed()?.to_vec()).ok()
    }

    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.count()?).map(|_| item(self)).collect()
    }
}
