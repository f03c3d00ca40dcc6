//! The User-Agent behind repro in the recording: it answers whatever reaches it with 200, and rings for ever for `180@`.
//!
//! Where it listens stands in the recorded data base, so there is one for all tests.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::OnceLock;
use std::thread;

/// Where the recorded routes and registrations lead.
const ADDRESS: &str = "127.0.0.1:5070";
/// A stream whose message is longer is no client of this one.
const LONGEST: usize = 65_536;

/// Has it run from now on, over UDP and TCP, until the tests end.
pub(crate) fn echo() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let address: SocketAddr = ADDRESS.parse().expect("an address");
        let datagrams = UdpSocket::bind(address).expect("the recording's port, UDP");
        let streams = TcpListener::bind(address).expect("the recording's port, TCP");
        thread::spawn(move || {
            let mut buffer = vec![0; LONGEST];
            while let Ok((length, peer)) = datagrams.recv_from(&mut buffer) {
                for answer in answers(buffer.get(..length).unwrap_or_default()) {
                    let _ = datagrams.send_to(answer.as_bytes(), peer);
                }
            }
        });
        thread::spawn(move || {
            for stream in streams.incoming().map_while(Result::ok) {
                thread::spawn(move || serve(stream));
            }
        });
    });
}

fn serve(mut stream: TcpStream) {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        received.extend_from_slice(buffer.get(..read).unwrap_or_default());
        while let Some(length) = whole(&received) {
            let message: Vec<u8> = received.drain(..length).collect();
            for answer in answers(&message) {
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        }
        if received.len() > LONGEST {
            return;
        }
    }
}

/// Length of the first message, once it is whole.
fn whole(received: &[u8]) -> Option<usize> {
    let head = received.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(received.get(..head)?).into_owned();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let end = head + length.unwrap_or(0);
    (end <= received.len()).then_some(end)
}

fn answers(request: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(request);
    let first = text.lines().next().unwrap_or_default();
    if first.starts_with("ACK ") || first.starts_with("SIP/2.0") {
        return Vec::new();
    }
    // `180@` rings, and a CANCEL of that ends it.
    let rings = first.starts_with("INVITE ") && first.contains("sip:180@");
    match (rings, first.starts_with("CANCEL ")) {
        (true, _) => vec![answer(&text, "180 Ringing", "")],
        (_, true) => {
            let invite = text.replace(" CANCEL\r\n", " INVITE\r\n");
            vec![
                answer(&text, "200 OK", ""),
                answer(&invite, "487 Request Terminated", ""),
            ]
        }
        _ => {
            let from = header(&text, "From").unwrap_or_default();
            let from = from.split(';').next().unwrap_or_default();
            let line = first.trim_end_matches(" SIP/2.0");
            vec![answer(
                &text,
                "200 OK",
                &format!("X-Forwarded-As: {line} From {from}\r\n"),
            )]
        }
    }
}

fn header<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn answer(request: &str, status: &str, more: &str) -> String {
    let mut lines = format!("SIP/2.0 {status}\r\n");
    for line in request.lines().take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        if !matches!(
            name,
            "Via" | "From" | "To" | "Call-ID" | "CSeq" | "Record-Route"
        ) {
            continue;
        }
        lines += line;
        if name == "To" && !line.contains(";tag=") {
            lines += ";tag=echo";
        }
        lines += "\r\n";
    }
    lines + more + "Contact: <sip:echo@127.0.0.1:5070>\r\nContent-Length: 0\r\n\r\n"
}
