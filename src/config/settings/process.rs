//! Rows about the process.

use super::Kind::{Bool, List, Path, Text};
use super::{Group, NUMBER, honoured, replaced, unread};

const NO_PLUGINS: &str = "no plugin is loaded; a check of one's own is compiled in, see examples/";

pub(super) const GROUP: Group = Group {
    title: "Process",
    rows: &[
        honoured(
            "Include",
            Path,
            "",
            "In a file only: reads another file at this place. A relative name is looked for \
             in the working directory, then beside the file that includes it.",
        ),
        honoured(
            "Daemonize",
            Bool,
            "false",
            "Run in the background. The command returns when the server serves, or \
             with its errors when it cannot.",
        ),
        honoured(
            "PidFile",
            Path,
            "",
            "File that holds the process number while the server runs, locked against a \
             second server.",
        ),
        honoured(
            "RunAsUser",
            Text,
            "",
            "User to become once the ports are bound. Empty: stay who we are.",
        ),
        honoured(
            "RunAsGroup",
            Text,
            "",
            "Group to become with RunAsUser. Empty: the user's own group.",
        ),
        replaced("LoadPlugins", List, "", "Plugins to load.", NO_PLUGINS),
        replaced(
            "PluginDirectory",
            Path,
            "",
            "Where plugins are.",
            NO_PLUGINS,
        ),
        replaced(
            "PyRoutePath",
            Path,
            "",
            "Python modules of the pyroute plugin.",
            NO_PLUGINS,
        ),
        replaced(
            "PyRouteScript",
            Text,
            "",
            "Routing script of the pyroute plugin.",
            NO_PLUGINS,
        ),
        replaced(
            "PyRouteNumWorkerThreads",
            NUMBER,
            "2",
            "Threads of the pyroute plugin.",
            NO_PLUGINS,
        ),
        replaced(
            "ThreadedStack",
            Bool,
            "true",
            "Whether the SIP stack has threads of its own.",
            "the number of threads is WorkerThreads",
        ),
        replaced(
            "NumAsyncProcessorWorkerThreads",
            NUMBER,
            "2",
            "Threads of request filter and message silo.",
            "the lookup pool, NumAuthGrabberWorkerThreads, will do this work",
        ),
        unread(
            "AssumePath",
            Text,
            "Stands in Debian's sample; no version of repro reads it.",
        ),
    ],
};
