//! PEM files taken apart block by block, so that a fault can name the block (RFC 7468 §3).
//!
//! The text of a block never reaches an error: it may be a key.

use std::fmt;

use openssl::error::ErrorStack;
use openssl::x509::{X509, X509Crl};

use super::ffi;

/// Which block of a PEM file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PemBlock {
    /// Counted from 1.
    pub number: usize,
    /// Line of its BEGIN, counted from 1.
    pub line: usize,
    /// The label, such as `CERTIFICATE`.
    pub kind: String,
}

impl fmt::Display for PemBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "block {} ({}, line {})",
            self.number,
            self.kind.escape_debug(),
            self.line
        )
    }
}

/// One block with its text, BEGIN and END lines included.
pub(super) struct Block<'a> {
    pub(super) place: PemBlock,
    pub(super) text: &'a [u8],
    /// Whether its END line is there.
    pub(super) complete: bool,
}

/// Longest label shown; a longer one is no label that anybody uses.
const MAX_LABEL: usize = 40;

/// All blocks of a file in order; text between them is passed over.
pub(super) fn blocks(file: &[u8]) -> Vec<Block<'_>> {
    let mut found: Vec<Block<'_>> = Vec::new();
    let mut open: Option<(PemBlock, usize)> = None;
    let mut offset = 0;
    for (index, line) in file.split_inclusive(|octet| *octet == b'\n').enumerate() {
        let start = offset;
        offset += line.len();
        if let Some(kind) = label(line, b"-----BEGIN ") {
            if let Some((place, from)) = open.take() {
                push(&mut found, file, place, from, start, false);
            }
            let number = found.len() + 1;
            let line = index + 1;
            open = Some((PemBlock { number, line, kind }, start));
        } else if label(line, b"-----END ").is_some()
            && let Some((place, from)) = open.take()
        {
            push(&mut found, file, place, from, offset, true);
        }
    }
    if let Some((place, from)) = open {
        push(&mut found, file, place, from, file.len(), false);
    }
    found
}

fn push<'a>(
    found: &mut Vec<Block<'a>>,
    file: &'a [u8],
    place: PemBlock,
    from: usize,
    to: usize,
    complete: bool,
) {
    let text = file.get(from..to).unwrap_or_default();
    found.push(Block {
        place,
        text,
        complete,
    });
}

fn label(line: &[u8], start: &[u8]) -> Option<String> {
    let line = line.trim_ascii();
    // A byte order mark before the first line is some editor's, not a fault.
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let label = line.strip_prefix(start)?.strip_suffix(b"-----")?;
    let label = String::from_utf8_lossy(label);
    Some(label.chars().take(MAX_LABEL).collect())
}

impl Block<'_> {
    pub(super) fn is_certificate(&self) -> bool {
        matches!(
            self.place.kind.as_str(),
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE"
        )
    }

    pub(super) fn is_crl(&self) -> bool {
        self.place.kind == "X509 CRL"
    }

    pub(super) fn is_private_key(&self) -> bool {
        self.place.kind.ends_with("PRIVATE KEY")
    }

    /// Whether a key block asks for a pass phrase.
    pub(super) fn is_encrypted(&self) -> bool {
        self.place.kind == "ENCRYPTED PRIVATE KEY"
            || memchr::memmem::find(self.text, b"Proc-Type: 4,ENCRYPTED").is_some()
    }

    /// Reads a certificate block; the error is a reason for the operator.
    pub(super) fn certificate(&self) -> Result<X509, String> {
        if !self.complete {
            return Err("its END line is missing".to_owned());
        }
        let der = self
            .octets()
            .ok_or("its text is not base64 from BEGIN to END")?;
        let read = if self.place.kind == "TRUSTED CERTIFICATE" {
            ffi::trusted_certificate(&der)
        } else {
            X509::from_der(&der)
        };
        read.map_err(|e| format!("it is not a certificate ({})", first_reason(&e)))
    }

    /// Reads a block with a CRL; the error is a reason for the operator.
    pub(super) fn crl(&self) -> Result<X509Crl, String> {
        if !self.complete {
            return Err("its END line is missing".to_owned());
        }
        let der = self
            .octets()
            .ok_or("its text is not base64 from BEGIN to END")?;
        X509Crl::from_der(&der).map_err(|e| format!("it is not a CRL ({})", first_reason(&e)))
    }

    fn octets(&self) -> Option<Vec<u8>> {
        let mut text = String::with_capacity(self.text.len());
        for line in self.text.split(|octet| *octet == b'\n') {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"-----") || line.starts_with(b"\xef\xbb\xbf") {
                continue;
            }
            text.push_str(std::str::from_utf8(line).ok()?);
        }
        openssl::base64::decode_block(&text)
            .ok()
            .filter(|der| !der.is_empty())
    }
}

/// What OpenSSL says, in its own fixed words; never the data attached to an error.
pub(super) fn first_reason(errors: &ErrorStack) -> &'static str {
    errors
        .errors()
        .iter()
        .find_map(|e| e.reason())
        .unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn blocks_are_numbered_and_text_between_them_is_passed_over() {
        let file = b"subject=x\n-----BEGIN A-----\r\nAAAA\r\n-----END A-----\r\nnoise\n-----BEGIN B-----\nBBBB\n-----BEGIN C-----\nCC";
        let found = blocks(file);
        let seen: Vec<_> = found
            .iter()
            .map(|b| {
                (
                    b.place.number,
                    b.place.line,
                    b.place.kind.as_str(),
                    b.complete,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [(1, 2, "A", true), (2, 6, "B", false), (3, 8, "C", false)]
        );
    }

    #[test]
    fn a_broken_certificate_gives_a_reason_and_never_its_text() {
        for text in [
            "-----BEGIN CERTIFICATE-----\nSECRET!!\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nU0VDUkVU\n-----END CERTIFICATE-----\n",
            "-----BEGIN TRUSTED CERTIFICATE-----\nU0VDUkVU\n-----END TRUSTED CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nU0VDUkVU\n",
            "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        ] {
            let reason = blocks(text.as_bytes())[0].certificate().unwrap_err();
            assert!(
                !reason.contains("SECRET") && !reason.contains("U0VD"),
                "{reason}"
            );
        }
    }
}
