//! Configuration: repro's file and command line in, each room's options out.
