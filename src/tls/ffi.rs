//! The few OpenSSL calls that the `openssl` crate does not wrap, each behind a safe signature.
//!
//! Everything named here exists with the same meaning in OpenSSL 1.1.1 and 3.x. This is the one file with `unsafe`.

#![expect(
    unsafe_code,
    reason = "calls into libssl that the openssl crate has no wrapper for"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;

use foreign_types::{ForeignType, ForeignTypeRef};
use libc::{c_int, c_long, c_uchar, c_uint, c_ulong, c_void};
use openssl::asn1::{
    Asn1GeneralizedTimeRef, Asn1Object, Asn1ObjectRef, Asn1StringRef, Asn1TimeRef,
};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::ssl::{SslContextBuilder, SslRef};
use openssl::stack::{Stack, StackRef};
use openssl::x509::store::{X509Store, X509StoreRef};
use openssl::x509::verify::X509VerifyParamRef;
use openssl::x509::{
    GeneralNameRef, X509, X509CrlRef, X509Name, X509Ref, X509StoreContextRef, X509VerifyResult,
};
use openssl_sys as sys;

use super::revocation::{Known, Watch};

type CertVerifyCallback = unsafe extern "C" fn(*mut sys::X509_STORE_CTX, *mut c_void) -> c_int;
type VerifyCallback = unsafe extern "C" fn(c_int, *mut sys::X509_STORE_CTX) -> c_int;
type CheckCrl = unsafe extern "C" fn(*mut sys::X509_STORE_CTX, *mut sys::X509_CRL) -> c_int;
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
    fn X509_STORE_set_check_crl(store: *mut sys::X509_STORE, check: Option<CheckCrl>);
    fn X509_STORE_CTX_get_check_crl(context: *mut sys::X509_STORE_CTX) -> Option<CheckCrl>;
    fn X509_STORE_CTX_get0_current_issuer(context: *mut sys::X509_STORE_CTX) -> *mut sys::X509;
    fn X509_STORE_CTX_set_flags(context: *mut sys::X509_STORE_CTX, flags: c_ulong);
    fn X509_STORE_CTX_set0_crls(
        context: *mut sys::X509_STORE_CTX,
        lists: *mut sys::stack_st_X509_CRL,
    );
    fn X509_STORE_CTX_set_verify_cb(
        context: *mut sys::X509_STORE_CTX,
        callback: Option<VerifyCallback>,
    );
    fn X509_STORE_CTX_set_ex_data(
        context: *mut sys::X509_STORE_CTX,
        index: c_int,
        data: *mut c_void,
    ) -> c_int;
    fn d2i_X509_AUX(
        out: *mut *mut sys::X509,
        input: *mut *const c_uchar,
        length: c_long,
    ) -> *mut sys::X509;
}

/// `X509_TRUST_SSL_CLIENT` of x509.h.
const TRUST_SSL_CLIENT: c_int = 2;

/// `CRYPTO_EX_INDEX_X509_STORE_CTX` of crypto.h.
const EX_INDEX_STORE_CONTEXT: c_int = 5;

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

/// Octets of the first extension of this type, without its own tag and length.
pub(super) fn extension_octets(certificate: &X509Ref, extension: Nid) -> Option<&[u8]> {
    // SAFETY: get0 calls on a live certificate; what they give lives as long as it.
    unsafe {
        let at = sys::X509_get_ext_by_NID(certificate.as_ptr(), extension.as_raw(), -1);
        if at < 0 {
            return None;
        }
        value_of(sys::X509_get_ext(certificate.as_ptr(), at))
    }
}

/// As [`extension_octets`], of a list.
pub(super) fn crl_extension_octets(crl: &X509CrlRef, extension: Nid) -> Option<&[u8]> {
    // SAFETY: get0 calls on a live list; what they give lives as long as it.
    unsafe {
        let at = sys::X509_CRL_get_ext_by_NID(crl.as_ptr(), extension.as_raw(), -1);
        if at < 0 {
            return None;
        }
        value_of(sys::X509_CRL_get_ext(crl.as_ptr(), at))
    }
}

/// The octets of an extension.
///
/// # Safety
///
/// The extension has to live as long as its octets are used.
unsafe fn value_of<'a>(extension: *mut sys::X509_EXTENSION) -> Option<&'a [u8]> {
    // SAFETY: get0 calls on what the caller says lives.
    unsafe {
        let data = sys::X509_EXTENSION_get_data(extension);
        if data.is_null() {
            return None;
        }
        let octets = sys::ASN1_STRING_get0_data(data.cast());
        let length = usize::try_from(sys::ASN1_STRING_length(data.cast())).ok()?;
        if octets.is_null() || length == 0 {
            return Some(&[]);
        }
        Some(std::slice::from_raw_parts(octets, length))
    }
}

/// A time of OCSP as one of certificates.
pub(super) fn as_time(time: &Asn1GeneralizedTimeRef) -> &Asn1TimeRef {
    // SAFETY: both are the same structure of OpenSSL; an ASN1_TIME is either of two kinds and says which.
    unsafe { Asn1TimeRef::from_ptr(time.as_ptr().cast()) }
}

/// Whether a CRL has an extension of this type.
pub(super) fn crl_has_extension(crl: &X509CrlRef, extension: Nid) -> bool {
    // SAFETY: searches a live list.
    unsafe { sys::X509_CRL_get_ext_by_NID(crl.as_ptr(), extension.as_raw(), -1) >= 0 }
}

/// CRLs as OpenSSL takes them for a verification: many verifications, on any thread, share one.
pub(super) struct CrlStack {
    stack: *mut sys::stack_st_X509_CRL,
}

// SAFETY: nothing changes the stack after it was made, and the lists in it are counted by atomic references and have
// locks of their own.
unsafe impl Send for CrlStack {}
// SAFETY: as above.
unsafe impl Sync for CrlStack {}

impl CrlStack {
    pub(super) fn new<'a>(lists: impl Iterator<Item = &'a X509CrlRef>) -> Result<Self, ErrorStack> {
        // SAFETY: a new stack, ours alone; each list in it has a reference of its own, which `drop` gives back.
        unsafe {
            let stack = sys::OPENSSL_sk_new_null();
            if stack.is_null() {
                return Err(ErrorStack::get());
            }
            let own = Self {
                stack: stack.cast(),
            };
            for list in lists {
                sys::X509_CRL_up_ref(list.as_ptr());
                if sys::OPENSSL_sk_push(stack, list.as_ptr().cast()) == 0 {
                    sys::X509_CRL_free(list.as_ptr());
                    return Err(ErrorStack::get());
                }
            }
            Ok(own)
        }
    }
}

impl Drop for CrlStack {
    fn drop(&mut self) {
        // SAFETY: the stack and one reference to each list in it are ours.
        unsafe {
            loop {
                let list = sys::OPENSSL_sk_pop(self.stack.cast());
                if list.is_null() {
                    break;
                }
                sys::X509_CRL_free(list.cast());
            }
            sys::OPENSSL_sk_free(self.stack.cast());
        }
    }
}

/// OpenSSL's own check of a CRL, as a fresh verification has it.
fn default_crl_check() -> Option<CheckCrl> {
    static CHECK: OnceLock<Option<CheckCrl>> = OnceLock::new();
    *CHECK.get_or_init(|| {
        // SAFETY: a store and a context of our own that end here; the function is one of the library.
        unsafe {
            let store = sys::X509_STORE_new();
            let context = sys::X509_STORE_CTX_new();
            let ready = !store.is_null()
                && !context.is_null()
                && sys::X509_STORE_CTX_init(context, store, ptr::null_mut(), ptr::null_mut()) == 1;
            let check = match ready {
                true => X509_STORE_CTX_get_check_crl(context),
                false => None,
            };
            sys::X509_STORE_CTX_free(context);
            sys::X509_STORE_free(store);
            check
        }
    })
}

/// Where the [`Watch`] of a verification hangs; negative if OpenSSL has no memory left.
fn watch_index() -> c_int {
    static INDEX: OnceLock<c_int> = OnceLock::new();
    // SAFETY: asks for a number; nothing is to be done when a context is made or ends.
    *INDEX.get_or_init(|| unsafe {
        sys::CRYPTO_get_ex_new_index(EX_INDEX_STORE_CONTEXT, 0, ptr::null_mut(), None, None, None)
    })
}

/// Has the CRLs that verifications with this store use pass by their [`Watch`].
pub(super) fn watch_crls(store: &X509StoreRef) {
    if default_crl_check().is_some() && watch_index() >= 0 {
        // SAFETY: the store is alive and the function has the C signature asked for.
        unsafe { X509_STORE_set_check_crl(store.as_ptr(), Some(check_crl)) }
    }
}

/// Verifies as `verify_cert`, with CRLs: of the peer's certificate alone, or of the whole chain.
pub(super) fn verify_with_crls(
    context: &mut X509StoreContextRef,
    lists: &CrlStack,
    whole_chain: bool,
    watch: &Watch<'_>,
) -> bool {
    let mut flags = sys::X509_V_FLAG_CRL_CHECK
        | sys::X509_V_FLAG_USE_DELTAS
        | sys::X509_V_FLAG_EXTENDED_CRL_SUPPORT;
    if whole_chain {
        flags |= sys::X509_V_FLAG_CRL_CHECK_ALL;
    }
    let index = watch_index();
    // SAFETY: the context is alive and nobody else uses it during the call. Lists and watch outlive the verification, and
    // the context forgets both before this returns; OpenSSL only reads the stack.
    unsafe {
        let context = context.as_ptr();
        let watch: *const Watch<'_> = watch;
        X509_STORE_CTX_set_flags(context, flags);
        X509_STORE_CTX_set0_crls(context, lists.stack);
        X509_STORE_CTX_set_verify_cb(context, Some(fault_found));
        if index < 0 || X509_STORE_CTX_set_ex_data(context, index, watch.cast_mut().cast()) != 1 {
            X509_STORE_CTX_set0_crls(context, ptr::null_mut());
            return false;
        }
        let good = sys::X509_verify_cert(context) == 1;
        X509_STORE_CTX_set_ex_data(context, index, ptr::null_mut());
        X509_STORE_CTX_set0_crls(context, ptr::null_mut());
        good
    }
}

/// Runs something with the watch of a verification; `None` if it has none, as the one for the path of a CRL's issuer.
///
/// # Safety
/// The context has to be alive.
unsafe fn with_watch<T>(
    context: *mut sys::X509_STORE_CTX,
    run: impl FnOnce(&Watch<'_>, &mut X509StoreContextRef) -> T,
) -> Option<T> {
    let index = watch_index();
    if context.is_null() || index < 0 {
        return None;
    }
    // SAFETY: the context is alive, and whoever hung the watch there takes it away before it ends.
    unsafe {
        let watch: *const Watch<'_> = sys::X509_STORE_CTX_get_ex_data(context, index).cast();
        let watch = watch.as_ref()?;
        let context = X509StoreContextRef::from_ptr_mut(context);
        // A panic must not unwind into C; it counts as a fault.
        catch_unwind(AssertUnwindSafe(|| run(watch, context))).ok()
    }
}

unsafe extern "C" fn fault_found(good: c_int, context: *mut sys::X509_STORE_CTX) -> c_int {
    if good == 1 {
        return 1;
    }
    // SAFETY: OpenSSL hands over a live context that nobody else uses during the call.
    let forgiven = unsafe {
        with_watch(context, |watch, context| {
            let forgiven = watch.forgives(context.error().as_raw());
            if forgiven {
                context.set_error(X509VerifyResult::OK);
            }
            forgiven
        })
    };
    c_int::from(forgiven.unwrap_or(false))
}

unsafe extern "C" fn check_crl(
    context: *mut sys::X509_STORE_CTX,
    list: *mut sys::X509_CRL,
) -> c_int {
    let Some(check) = default_crl_check() else {
        return 0;
    };
    // SAFETY: OpenSSL hands over a live context and a live list that nobody else changes during the call.
    unsafe {
        let known = with_watch(context, |watch, context| {
            if list.is_null() {
                return Known::Nothing;
            }
            let issuer = X509_STORE_CTX_get0_current_issuer(context.as_ptr());
            let issuer = (!issuer.is_null()).then(|| X509Ref::from_ptr(issuer));
            let known = watch.uses(X509CrlRef::from_ptr(list), issuer, context);
            if known == Known::Forged {
                context.set_error(verify_result(sys::X509_V_ERR_CERT_SIGNATURE_FAILURE));
            }
            known
        });
        match known {
            Some(Known::Good) => return 1,
            Some(Known::Forged) => return 0,
            Some(Known::Nothing) | None => {}
        }
        let good = check(context, list);
        if good == 1 {
            with_watch(context, |watch, _| watch.checked());
        }
        good
    }
}
