//! Where log lines go: repro's `LoggingType`, `LogFilename` and rotation, over env_logger.
