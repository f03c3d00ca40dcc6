//! Calls through the core and the relay on a virtual clock: RFC 3665, RFC 6216, and what goes wrong.
//!
//! A [`world::World`] has parties, each at the other end of a flow, and does with effects what the transport does, but for
//! octets and threads. [`script`] has them talk as a file says and writes down what comes out; [`flows`] compares that with the
//! file, whole. [`properties`] lets them do anything at all.

#[cfg(test)]
mod flows;
#[cfg(test)]
mod phone;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod script;
#[cfg(test)]
mod shown;
#[cfg(test)]
mod text;
#[cfg(test)]
mod world;
