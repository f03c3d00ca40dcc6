//! The few OpenSSL calls that the `openssl` crate does not wrap, each behind a safe signature.
//!
//! Everything named here exists with the same meaning in OpenSSL 1.1.1 and 3.x. This is the one file with `unsafe`.

#![expect(
    unsafe_code,
    reason = "calls into libssl that the openssl crate has no wrapper for"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use foreign_types::{ForeignType, ForeignTypeRef};
use libc::{c_int, c_long, c_uchar, c_uint, c_void};
use openssl::asn1::{Asn1Object, Asn1ObjectRef, Asn1StringRef};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::ssl::{SslContextBuilder, SslRef};
use openssl::stack::{Stack, StackRef};
use openssl::x509::store::{X509Store, X509StoreRef};
use openssl::x509::verify::X509VerifyParamRef;
use openssl::x509::{
    GeneralNameRef, X509, X509Name, X509Ref, X509StoreContextRef, X509VerifyResult,
};
use openssl_sys as sys;

type CertVerifyCallback = unsafe extern "C" fn(*mut sys::X509_STORE_CTX, *mut c_void) -> c_int;
type CertificateCallback = unsafe extern "C" fn(*mut sys::SSL, *mut c_void) -> c_int;

unsafe extern "C" {
    fn SSL_CTX_set_cert_verify_callback(
        context: *mut sys::SSL_CTX,
        callback: Option<CertVerifyCallback>,
        argument: *mut c_void,
    );
    fn SSL_CTX_set_cert_cb(
        context: *mut sys::SSL_CTX,
        callback: Option<CertificateCallback>,
        argument: *mut c_void,
    );
    fn SSL_get_client_CA_list(ssl: *const sys::SSL) -> *mut sys::stack_st_X509_NAME;
    fn SSL_has_pending(ssl: *const sys::SSL) -> c_int;
    fn SSL_CTX_set_timeout(context: *mut sys::SSL_CTX, seconds: c_long) -> c_long;
    fn X509_STORE_CTX_get0_cert(context: *mut sys::X509_STORE_CTX) -> *mut sys::X509;
    fn X509_STORE_CTX_get0_untrusted(context: *mut sys::X509_STORE_CTX) -> *mut sys::stack_st_X509;
    fn X509_STORE_CTX_set0_verified_chain(
        context: *mut sys::X509_STORE_CTX,
        chain: *mut sys::stack_st_X509,
    );
    fn X509_STORE_up_ref(store: *mut sys::X509_STORE) -> c_int;
    fn X509_VERIFY_PARAM_set_trust(param: *mut sys::X509_VERIFY_PARAM, trust: c_int) -> c_int;
    fn d2i_X509_AUX(
        out: *mut *mut sys::X509,
        input: *mut *const c_uchar,
        length: c_long,
    ) -> *mut sys::X509;
}

/// `X509_TRUST_SSL_CLIENT` of x509.h.
const TRUST_SSL_CLIENT: c_int = 2;

/// Whether octets of the peer wait inside OpenSSL, decrypted or not.
pub(super) fn has_pending(ssl: &SslRef) -> bool {
    // SAFETY: the connection is alive; the function only looks.
    unsafe { SSL_has_pending(ssl.as_ptr()) == 1 }
}

/// Has every certificate of a peer judged by [`super::verify::judge`] in place of OpenSSL's own verification.
pub(super) fn judge_certificates(builder: &mut SslContextBuilder) {
    // SAFETY: the context is alive, the function has the C signature asked for and needs no argument.
    unsafe {
        SSL_CTX_set_cert_verify_callback(builder.as_ptr(), Some(trampoline), ptr::null_mut());
    }
}

unsafe extern "C" fn trampoline(
    context: *mut sys::X509_STORE_CTX,
    _argument: *mut c_void,
) -> c_int {
    if context.is_null() {
        return 0;
    }
    // SAFETY: OpenSSL hands over a live context that nobody else uses during the call.
    let context = unsafe { X509StoreContextRef::from_ptr_mut(context) };
    // A panic must not unwind into C; it counts as a refusal.
    let verdict = catch_unwind(AssertUnwindSafe(|| super::verify::judge(context)));
    c_int::from(verdict.unwrap_or_else(|_| {
        context.set_error(X509VerifyResult::APPLICATION_VERIFICATION);
        false
    }))
}

/// Has [`super::own::show`] choose our certificate when a server asks a client of this context for one.
pub(super) fn choose_own_certificate(builder: &mut SslContextBuilder) {
    // SAFETY: the context is alive, the function has the C signature asked for and needs no argument.
    unsafe { SSL_CTX_set_cert_cb(builder.as_ptr(), Some(asked), ptr::null_mut()) }
}

unsafe extern "C" fn asked(ssl: *mut sys::SSL, _argument: *mut c_void) -> c_int {
    if ssl.is_null() {
        return 0;
    }
    // SAFETY: OpenSSL hands over a live connection that nobody else uses during the call.
    let ssl = unsafe { SslRef::from_ptr_mut(ssl) };
    // A panic must not unwind into C; it ends the handshake.
    let shown = catch_unwind(AssertUnwindSafe(|| super::own::show(ssl)));
    c_int::from(shown.unwrap_or(false))
}

/// The server_name extension of the ClientHello at hand, as it came (RFC 6066 §3); within a callback for it only.
pub(super) fn hello_server_name(ssl: &SslRef) -> Option<&[u8]> {
    /// `TLSEXT_TYPE_server_name` of tls1.h.
    const SERVER_NAME: c_uint = 0;
    let mut octets: *const c_uchar = ptr::null();
    let mut length = 0;
    // SAFETY: OpenSSL gives the octets and their number, which live until the callback ends; outside of one it gives none.
    unsafe {
        let found =
            sys::SSL_client_hello_get0_ext(ssl.as_ptr(), SERVER_NAME, &mut octets, &mut length);
        if found != 1 || octets.is_null() {
            return None;
        }
        Some(std::slice::from_raw_parts(octets, length))
    }
}

/// Names of the CAs that the server would have our certificate from; on a client's connection, once it has asked.
pub(super) fn wanted_authorities(ssl: &SslRef) -> Option<&StackRef<X509Name>> {
    // SAFETY: a get0 call: the list, if any, lives as long as the connection and changes in a handshake only.
    unsafe {
        let names = SSL_get_client_CA_list(ssl.as_ptr());
        (!names.is_null()).then(|| StackRef::from_ptr(names))
    }
}

/// The certificate under judgement.
pub(super) fn presented_leaf(context: &X509StoreContextRef) -> Option<&X509Ref> {
    // SAFETY: a get0 call: the certificate, if any, lives as long as the context that it is borrowed from.
    unsafe {
        let leaf = X509_STORE_CTX_get0_cert(context.as_ptr());
        (!leaf.is_null()).then(|| X509Ref::from_ptr(leaf))
    }
}

/// Everything that the peer sent, its own certificate included.
pub(super) fn presented_chain(context: &X509StoreContextRef) -> Option<&StackRef<X509>> {
    // SAFETY: a get0 call: the stack, if any, lives as long as the context that it is borrowed from.
    unsafe {
        let chain = X509_STORE_CTX_get0_untrusted(context.as_ptr());
        (!chain.is_null()).then(|| StackRef::from_ptr(chain))
    }
}

/// Drops the chain that the verification built, so that OpenSSL does not keep a copy of it with the connection.
pub(super) fn forget_verified_chain(context: &mut X509StoreContextRef) {
    // SAFETY: the call frees the old chain; a null chain is what a context without a result has.
    unsafe { X509_STORE_CTX_set0_verified_chain(context.as_ptr(), ptr::null_mut()) }
}

/// A verification result of this number; numbers that OpenSSL does not know are kept and described as such.
pub(super) fn verify_result(code: i32) -> X509VerifyResult {
    // SAFETY: only the text of an unknown number is not thread-safe; callers pass constants of x509_vfy.h.
    unsafe { X509VerifyResult::from_raw(code) }
}

/// How long a session may be resumed, in seconds.
pub(super) fn set_session_lifetime(builder: &mut SslContextBuilder, seconds: u32) {
    let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
    // SAFETY: sets one number in a live context.
    unsafe {
        SSL_CTX_set_timeout(builder.as_ptr(), c_long::from(seconds));
    }
}

/// The security level that new connections start with.
pub(super) fn security_level(builder: &SslContextBuilder) -> u32 {
    // SAFETY: reads one number from a live context.
    let level = unsafe { sys::SSL_CTX_get_security_level(builder.as_ptr()) };
    u32::try_from(level).unwrap_or(0)
}

/// Adds an intermediate to the chain of the certificate that was set last (the crate's own call adds it to the chains
/// of all key types).
pub(super) fn add_chain_certificate(
    builder: &mut SslContextBuilder,
    certificate: &X509Ref,
) -> Result<(), ErrorStack> {
    // SAFETY: with 1 as the third argument OpenSSL takes a reference of its own to the certificate.
    let done = unsafe {
        sys::SSL_CTX_ctrl(
            builder.as_ptr(),
            sys::SSL_CTRL_CHAIN_CERT,
            1,
            certificate.as_ptr().cast(),
        )
    };
    if done == 1 {
        Ok(())
    } else {
        Err(ErrorStack::get())
    }
}

/// Another handle of the same store.
pub(super) fn share_store(store: &X509StoreRef) -> X509Store {
    // SAFETY: the reference just counted belongs to the new handle.
    unsafe {
        X509_STORE_up_ref(store.as_ptr());
        X509Store::from_ptr(store.as_ptr())
    }
}

/// Makes anchors that are marked as rejected for TLS clients count as such.
pub(super) fn trust_for_clients(param: &mut X509VerifyParamRef) {
    // SAFETY: sets one number in a live object.
    unsafe {
        X509_VERIFY_PARAM_set_trust(param.as_ptr(), TRUST_SSL_CLIENT);
    }
}

/// Reads the content of a `TRUSTED CERTIFICATE` block: a certificate, then what OpenSSL may trust it for.
pub(super) fn trusted_certificate(der: &[u8]) -> Result<X509, ErrorStack> {
    let length = c_long::try_from(der.len()).unwrap_or(0);
    let mut at = der.as_ptr();
    // SAFETY: at most `length` octets are read from `at`; the certificate returned is ours.
    unsafe {
        let certificate = d2i_X509_AUX(ptr::null_mut(), &mut at, length);
        if certificate.is_null() {
            return Err(ErrorStack::get());
        }
        Ok(X509::from_ptr(certificate))
    }
}

/// Text of an ASN.1 string in UTF-8, with any NUL it holds; `None` if its octets do not fit its type.
pub(super) fn utf8(text: &Asn1StringRef) -> Option<Vec<u8>> {
    let mut out: *mut c_uchar = ptr::null_mut();
    // SAFETY: on success OpenSSL allocates `length` octets and a NUL, which are copied and freed here.
    unsafe {
        let length = sys::ASN1_STRING_to_UTF8(&mut out, text.as_ptr());
        let Ok(length) = usize::try_from(length) else {
            let _ = ErrorStack::get();
            return None;
        };
        if out.is_null() {
            return Some(Vec::new());
        }
        let copy = std::slice::from_raw_parts(out, length).to_vec();
        sys::OPENSSL_free(out.cast());
        Some(copy)
    }
}

/// Content octets of an object identifier.
pub(super) fn object_octets(object: &Asn1ObjectRef) -> &[u8] {
    // SAFETY: OpenSSL gives the octets and their number, which live as long as the object.
    unsafe {
        let octets = sys::OBJ_get0_data(object.as_ptr());
        let length = sys::OBJ_length(object.as_ptr());
        if octets.is_null() || length == 0 {
            return &[];
        }
        std::slice::from_raw_parts(octets, length)
    }
}

/// Type of a subjectAltName entry, as `GEN_*` of x509v3.h.
pub(super) fn general_name_type(name: &GeneralNameRef) -> c_int {
    // SAFETY: reads one field of a live structure.
    unsafe { (*name.as_ptr()).type_ }
}

/// Raw octets of a dNSName, uniformResourceIdentifier, rfc822Name or iPAddress (the crate drops those that are no
/// UTF-8); `None` for the other types.
pub(super) fn general_name_octets(name: &GeneralNameRef) -> Option<&[u8]> {
    if !matches!(
        general_name_type(name),
        sys::GEN_DNS | sys::GEN_URI | sys::GEN_EMAIL | sys::GEN_IPADD
    ) {
        return None;
    }
    // SAFETY: for these types `d` points to an ASN1_STRING that lives as long as the name.
    unsafe {
        let text: *mut sys::ASN1_STRING = (*name.as_ptr()).d.cast();
        if text.is_null() {
            return None;
        }
        let octets = sys::ASN1_STRING_get0_data(text);
        let length = usize::try_from(sys::ASN1_STRING_length(text)).ok()?;
        if octets.is_null() || length == 0 {
            return Some(&[]);
        }
        Some(std::slice::from_raw_parts(octets, length))
    }
}

/// How many extensions of this type the certificate has.
pub(super) fn extension_count(certificate: &X509Ref, extension: Nid) -> usize {
    let mut count = 0;
    let mut last = -1;
    loop {
        // SAFETY: searches a live certificate from the position after `last`.
        last = unsafe { sys::X509_get_ext_by_NID(certificate.as_ptr(), extension.as_raw(), last) };
        if last < 0 {
            return count;
        }
        count += 1;
    }
}

/// Extended key usages; `None` without the extension, or with one that cannot be read.
pub(super) fn extended_key_usages(certificate: &X509Ref) -> Option<Stack<Asn1Object>> {
    // SAFETY: for this extension OpenSSL returns a new stack of objects, which is ours.
    unsafe {
        let usages = sys::X509_get_ext_d2i(
            certificate.as_ptr(),
            Nid::EXT_KEY_USAGE.as_raw(),
            ptr::null_mut(),
            ptr::null_mut(),
        );
        if usages.is_null() {
            let _ = ErrorStack::get();
            return None;
        }
        Some(Stack::from_ptr(usages.cast()))
    }
}
