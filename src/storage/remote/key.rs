//! Keys that sign entries, and keys whose signatures count. The cryptography is ring's.

use std::fmt;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use ring::{hmac, rand};

use crate::core::digest::Digest;
use crate::storage::user_file;

/// What the texts of keys begin with.
const HMAC: &str = "hmac:";
const ED25519_SECRET: &str = "ed25519-secret:";
const ED25519_PUBLIC: &str = "ed25519:";
/// Maximum size of a file with a key, in bytes.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// How an entry is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Who can read can write.
    HmacSha256,
    /// Only the holder of the secret can write.
    Ed25519,
}

impl Algorithm {
    /// As the first line of an entry names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Ed25519 => "ed25519",
        }
    }
}

/// A key that signs.
pub enum SigningKey {
    Hmac([u8; 32]),
    Ed25519(Box<Ed25519KeyPair>),
}

/// A key whose signatures count.
#[derive(Clone, PartialEq, Eq)]
pub enum TrustedKey {
    Hmac([u8; 32]),
    Ed25519([u8; 32]),
}

/// The id of a key: the first 8 hexadecimal digits of its SHA-256, or of that of its public part.
fn id_of(bytes: &[u8]) -> String {
    let mut id = Digest::of(bytes).hex();
    id.truncate(8);
    id
}

impl SigningKey {
    /// Reads the text of a key, as `runner cache key new` writes it.
    ///
    /// # Errors
    /// The text is no such key. The message does not repeat it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(hex) = text.strip_prefix(HMAC) {
            return hex_bytes(hex).map(Self::Hmac);
        }
        if let Some(seed) = text.strip_prefix(ED25519_SECRET) {
            let pair = Ed25519KeyPair::from_seed_unchecked(&base64_bytes(seed)?);
            return pair.map(Box::new).map(Self::Ed25519).map_err(|_| "the ed25519 key is damaged".into());
        }
        Err(if text.starts_with(ED25519_PUBLIC) {
            "it is a public key, which signs nothing: name it in remote_trust".into()
        } else {
            format!(
                "it is no key: expected {HMAC} and 64 hexadecimal digits, or {ED25519_SECRET} and base64, as `runner cache \
                 key new` writes"
            )
        })
    }

    /// Reads the file of a key, which must belong to this user alone.
    ///
    /// # Errors
    /// The file cannot be read, others can read it, or it holds no key.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = read_private(path)?;
        Self::parse(&text).map_err(|problem| format!("{}: {problem}", path.display()))
    }

    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hmac(_) => Algorithm::HmacSha256,
            Self::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    pub fn id(&self) -> String {
        match self {
            Self::Hmac(key) => id_of(key),
            Self::Ed25519(pair) => id_of(pair.public_key().as_ref()),
        }
    }

    /// The signature of a message.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Hmac(key) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The key that verifies what this one signs.
    pub fn trusted(&self) -> TrustedKey {
        match self {
            Self::Hmac(key) => TrustedKey::Hmac(*key),
            Self::Ed25519(pair) => {
                let mut public = [0; 32];
                public.copy_from_slice(pair.public_key().as_ref());
                TrustedKey::Ed25519(public)
            }
        }
    }
}

impl TrustedKey {
    /// Reads the text of a key: a public one, or an HMAC key, which both signs and verifies.
    ///
    /// # Errors
    /// The text is no such key. The message does not repeat it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(public) = text.strip_prefix(ED25519_PUBLIC) {
            return base64_bytes(public).map(Self::Ed25519);
        }
        SigningKey::parse(text).map(|key| key.trusted())
    }

    /// Reads the file of a key. Only a public key may be readable by others.
    ///
    /// # Errors
    /// The file cannot be read, or holds no key.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = read_text(path)?;
        if !text.trim().starts_with(ED25519_PUBLIC) {
            return SigningKey::read(path).map(|key| key.trusted());
        }
        Self::parse(&text).map_err(|problem| format!("{}: {problem}", path.display()))
    }

    pub fn id(&self) -> String {
        match self {
            Self::Hmac(key) | Self::Ed25519(key) => id_of(key),
        }
    }

    /// The text of a public key; nothing for an HMAC key, which is a secret.
    pub fn public_text(&self) -> Option<String> {
        match self {
            Self::Hmac(_) => None,
            Self::Ed25519(public) => Some(format!("{ED25519_PUBLIC}{}", STANDARD.encode(public))),
        }
    }

    /// Whether the message has this signature, made by `algorithm`.
    pub fn verify(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hmac(key) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, key);
                algorithm == Algorithm::HmacSha256.name() && hmac::verify(&key, message, signature).is_ok()
            }
            Self::Ed25519(public) => {
                let key = UnparsedPublicKey::new(&ED25519, public);
                algorithm == Algorithm::Ed25519.name() && key.verify(message, signature).is_ok()
            }
        }
    }
}

/// Shows no secret.
impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustedKey({})", self.id())
    }
}

/// Makes a new key; its text, which signs.
///
/// # Errors
/// The system has no random numbers.
pub fn make(algorithm: Algorithm) -> Result<String, String> {
    let random: [u8; 32] = rand::generate(&SystemRandom::new() as &dyn SecureRandom)
        .map_err(|_| "the system gives no random numbers".to_owned())?
        .expose();
    Ok(match algorithm {
        Algorithm::HmacSha256 => format!("{HMAC}{}", Digest(random).hex()),
        Algorithm::Ed25519 => format!("{ED25519_SECRET}{}", STANDARD.encode(random)),
    })
}

fn hex_bytes(hex: &str) -> Result<[u8; 32], String> {
    let key: Digest = hex.parse().map_err(|_| format!("expected 64 hexadecimal digits after {HMAC}"))?;
    Ok(key.0)
}

fn base64_bytes(text: &str) -> Result<[u8; 32], String> {
    let bytes = STANDARD.decode(text).map_err(|_| "the key is not base64".to_owned())?;
    bytes.try_into().map_err(|_| "the key does not have 32 bytes".to_owned())
}

/// Reads a small file.
fn read_text(path: &Path) -> Result<String, String> {
    let problem = |problem: &dyn fmt::Display| format!("cannot read the key {}: {problem}", path.display());
    let file = user_file::open(path).map_err(|error| problem(&error))?;
    let mut text = String::new();
    file.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text).map_err(|error| problem(&error))?;
    Ok(text)
}

/// Reads a small file that only its owner may read.
fn read_private(path: &Path) -> Result<String, String> {
    use std::os::unix::fs::PermissionsExt;
    let found = std::fs::metadata(path)
        .map_err(|error| format!("cannot read the key {}: {error}", path.display()))?;
    if found.permissions().mode() & 0o077 != 0 {
        return Err(format!(
            "others can read the key {0}: run `chmod 600 {0}`; if others had access, make a new one",
            path.display()
        ));
    }
    read_text(path)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_sign_verify_and_refuse() {
        for algorithm in [Algorithm::HmacSha256, Algorithm::Ed25519] {
            let text = make(algorithm).unwrap();
            let key = SigningKey::parse(&text).unwrap();
            let other = SigningKey::parse(&make(algorithm).unwrap()).unwrap();
            let signature = key.sign(b"message");
            let name = algorithm.name();
            assert_eq!(key.algorithm(), algorithm);
            assert!(key.trusted().verify(name, b"message", &signature));
            assert!(!key.trusted().verify(name, b"massage", &signature));
            assert!(!other.trusted().verify(name, b"message", &signature));
            assert!(!key.trusted().verify("none", b"message", &signature));
            for i in 0..signature.len() {
                let mut changed = signature.clone();
                changed[i] ^= 1;
                assert!(!key.trusted().verify(name, b"message", &changed));
            }
            assert!(!key.trusted().verify(name, b"message", &signature[1..]));
            assert_eq!(key.id(), key.trusted().id());
            assert_eq!(key.id().len(), 8);
            assert_eq!(TrustedKey::parse(&text).unwrap(), key.trusted());
        }
    }

    #[test]
    fn a_public_key_reads_back_and_signs_nothing() {
        let key = SigningKey::parse(&make(Algorithm::Ed25519).unwrap()).unwrap();
        let public = key.trusted().public_text().unwrap();
        assert_eq!(TrustedKey::parse(&public).unwrap(), key.trusted());
        assert!(SigningKey::parse(&public).is_err());
        for junk in ["", "hmac:", "hmac:12", "ed25519:AAAA", "ed25519-secret:!", "x"] {
            assert!(TrustedKey::parse(junk).is_err(), "{junk}");
        }
    }

    /// RFC 4231, test case 1, with the key padded as HMAC pads it; RFC 8032, test 2.
    #[test]
    fn signatures_are_those_of_the_standards() {
        let key = format!("hmac:{}{}", "0b".repeat(20), "00".repeat(12));
        let signature = SigningKey::parse(&key).unwrap().sign(b"Hi There");
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(Digest(signature.try_into().unwrap()).hex(), expected);
        let seed: Digest =
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb".parse().unwrap();
        let key = SigningKey::parse(&format!("ed25519-secret:{}", STANDARD.encode(seed.0))).unwrap();
        let public: Digest =
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c".parse().unwrap();
        assert!(key.trusted() == TrustedKey::Ed25519(public.0));
        assert_eq!(key.sign(&[0x72])[..4], [0x92, 0xa0, 0x09, 0xa9]);
    }

    #[test]
    fn the_file_of_a_secret_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, make(Algorithm::HmacSha256).unwrap() + "\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(SigningKey::read(&path).err().unwrap().contains("chmod 600"));
        assert!(TrustedKey::read(&path).is_err());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(SigningKey::read(&path).is_ok() && TrustedKey::read(&path).is_ok());
        let public = SigningKey::parse(&make(Algorithm::Ed25519).unwrap()).unwrap().trusted();
        fs::write(&path, public.public_text().unwrap()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(TrustedKey::read(&path).is_ok() && SigningKey::read(&path).is_err());
    }
}
