# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_sipvouch_global_optspecs
    string join \n h/help
end

function __fish_sipvouch_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_sipvouch_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_sipvouch_using_subcommand
    set -l cmd (__fish_sipvouch_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c sipvouch -n "__fish_sipvouch_needs_command" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "check" -d 'Load everything, say what is wrong, and end'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "settings" -d 'Print the settings in force, and where each comes from'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "certs" -d 'Print every certificate that is loaded'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "explain" -d 'Say whether a peer may send a request, and why'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "user" -d 'Users and their passwords'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "domain" -d 'Domains that are ours, besides those of the configuration'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "route" -d 'Static routes: where a request goes by its Request-URI'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "acl" -d 'Trusted peers: they may use any From'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "filter" -d 'Request filters: what is let in and what is not, by header fields'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "identity" -d 'TLS peer identities: what a name in a certificate may use; asked only where there are no CommonNameMappings'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "registration" -d 'Static registrations: contacts that never expire'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "import" -d 'Take over what repro has stored, or an export of ours'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "export" -d 'Write every table as a file of readable lines; the hashes of passwords are in it'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "backup" -d 'Copy the store to one file while the server runs'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "restore" -d 'Put a backup in the place of the store, which is moved aside; no server may run'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "completions" -d 'Print the completions of a shell'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "man" -d 'Print a manual page'
complete -c sipvouch -n "__fish_sipvouch_needs_command" -f -a "ctl" -d 'Ask a running server, or tell it something, over its control socket'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand check" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand settings" -l sample -d 'Print a configuration file of all that have an effect'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand settings" -l markdown -d 'Print the reference page'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand settings" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand certs" -l config -d 'The configuration file' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand certs" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand explain" -l config -d 'The configuration file' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand explain" -l cert -d 'The certificate of the peer' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand explain" -l message -d 'The text of a whole request, from a log or a capture; - reads standard input' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand explain" -l from -d 'The URI in From' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand explain" -l method -d 'The method; INVITE without this' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand explain" -l to -d 'The URI in To; that of From without this' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand explain" -l source -d 'Where it comes from; nowhere in particular without this' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand explain" -l transport -d 'Over what it comes: tls (without this), tcp, udp, ws, wss' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand explain" -l digest-user -d 'The user whose password is taken as proved' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand explain" -l to-tag -d 'To has a tag'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand explain" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and not __fish_seen_subcommand_from add change remove list show verify" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and not __fish_seen_subcommand_from add change remove list show verify" -f -a "add" -d 'Add a user; the password is asked for, or read from standard input'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and not __fish_seen_subcommand_from add change remove list show verify" -f -a "change" -d 'Change a user; what is not given stays, the password too'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and not __fish_seen_subcommand_from add change remove list show verify" -f -a "remove" -d 'Remove users; what they have registered runs out by itself'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and not __fish_seen_subcommand_from add change remove list show verify" -f -a "list" -d 'List users, without their hashes'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and not __fish_seen_subcommand_from add change remove list show verify" -f -a "show" -d 'Show one user, without the hashes'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and not __fish_seen_subcommand_from add change remove list show verify" -f -a "verify" -d 'Say whether a password is that of a user: exit status 0 if it is, 1 if not'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from add" -l name -d 'Full name, for people' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from add" -l email -d 'Mail address, for people' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from add" -l realm -d 'Realm of the digest; the domain unless given, and always in repro' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from add" -l algorithms -d 'Algorithms to store hashes for, of MD5, SHA-256 and SHA-512-256, parted by comma; without this those of DigestChallengeAlgorithms, all if that is empty, and those that the user has' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from add" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from add" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from add" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from add" -l password-stdin -d 'Read the password as one line of standard input, even from a terminal'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from add" -l ha1 -d 'Read a hash instead of a password from standard input: 32 hexadecimal digits (MD5), or [MD5]…[SHA-256]…[SHA-512-256]… of user:realm:password'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from add" -l no-password -d 'No password: only a certificate lets this user in'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from add" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -l rename -d 'The new user and domain; needs the password, which is hashed with them' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -l name -d 'Full name, for people' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -l email -d 'Mail address, for people' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -l realm -d 'Realm of the digest; the domain unless given, and always in repro' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -l algorithms -d 'Algorithms to store hashes for, of MD5, SHA-256 and SHA-512-256, parted by comma; without this those of DigestChallengeAlgorithms, all if that is empty, and those that the user has' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -l password -d 'Read a new password'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -l password-stdin -d 'Read the password as one line of standard input, even from a terminal'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -l ha1 -d 'Read a hash instead of a password from standard input: 32 hexadecimal digits (MD5), or [MD5]…[SHA-256]…[SHA-512-256]… of user:realm:password'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -l no-password -d 'No password: only a certificate lets this user in'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from change" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from remove" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from remove" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from remove" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from list" -l text -d 'Only those with this text in one of the columns, in any letter case' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from list" -l domain -d 'Only those of this domain' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from list" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from list" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from list" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from show" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from show" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from show" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from verify" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from verify" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from verify" -l password-stdin -d 'Read the password as one line of standard input, even from a terminal'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from verify" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from verify" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand user; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and not __fish_seen_subcommand_from add change remove list show" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and not __fish_seen_subcommand_from add change remove list show" -f -a "add" -d 'Add a domain'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and not __fish_seen_subcommand_from add change remove list show" -f -a "change" -d 'Give a domain another name; its users keep theirs'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and not __fish_seen_subcommand_from add change remove list show" -f -a "remove" -d 'Remove domains; their users stay in the store'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and not __fish_seen_subcommand_from add change remove list show" -f -a "list" -d 'List domains'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and not __fish_seen_subcommand_from add change remove list show" -f -a "show" -d 'Show one domain'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from add" -l tls-port -d 'A port that repro keeps with a domain and never uses' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from add" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from add" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from add" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from add" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from change" -l rename -d 'The new name' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from change" -l tls-port -d 'A port that repro keeps with a domain and never uses' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from change" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from change" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from change" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from change" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from change" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from change" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from remove" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from remove" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from remove" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from list" -l text -d 'Only those with this text in one of the columns, in any letter case' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from list" -l domain -d 'Only those of this domain' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from list" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from list" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from list" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from show" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from show" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from show" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand domain; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and not __fish_seen_subcommand_from add change remove list show" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and not __fish_seen_subcommand_from add change remove list show" -f -a "add" -d 'Add a route'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and not __fish_seen_subcommand_from add change remove list show" -f -a "change" -d 'Change a route; what is not given stays'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and not __fish_seen_subcommand_from add change remove list show" -f -a "remove" -d 'Remove routes'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and not __fish_seen_subcommand_from add change remove list show" -f -a "list" -d 'List the routes in the order in which they are tried'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and not __fish_seen_subcommand_from add change remove list show" -f -a "show" -d 'Show one route'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from add" -l method -d 'Only requests of this method; \'\' for any' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from add" -l event -d 'Only requests with this Event; \'\' for any' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from add" -l order -d 'The smallest is tried first, from -32768 to 32767; 0 without this' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from add" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from add" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from add" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from add" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from change" -l pattern -d 'Regular expression (ECMAScript) that is searched for in the Request-URI' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from change" -l rewrite -d 'The new URI; $1 to $9 stand for what the groups of the pattern found' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from change" -l method -d 'Only requests of this method; \'\' for any' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from change" -l event -d 'Only requests with this Event; \'\' for any' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from change" -l order -d 'The smallest is tried first, from -32768 to 32767; 0 without this' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from change" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from change" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from change" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from change" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from change" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from change" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from remove" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from remove" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from remove" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from list" -l text -d 'Only those with this text in one of the columns, in any letter case' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from list" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from list" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from list" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from show" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from show" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from show" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand route; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and not __fish_seen_subcommand_from add change remove list show" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and not __fish_seen_subcommand_from add change remove list show" -f -a "add" -d 'Trust an address, a network, or a name in a certificate'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and not __fish_seen_subcommand_from add change remove list show" -f -a "change" -d 'Put another entry in the place of one'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and not __fish_seen_subcommand_from add change remove list show" -f -a "remove" -d 'Trust it no longer'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and not __fish_seen_subcommand_from add change remove list show" -f -a "list" -d 'List the entries with their numbers and keys'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and not __fish_seen_subcommand_from add change remove list show" -f -a "show" -d 'Show one entry'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from add" -l transport -d 'What an address must connect over; tls without this. A source over udp can be forged' -r -f -a "any\t''
tls\t''
tcp\t''
udp\t''
sctp\t''
dccp\t''
dtls\t''
ws\t''
wss\t''"
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from add" -l port -d 'The source port of an address; 0 for any' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from add" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from add" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from add" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from add" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from change" -l entry -d 'The new address, network or name' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from change" -l new-transport -d 'The new transport' -r -f -a "any\t''
tls\t''
tcp\t''
udp\t''
sctp\t''
dccp\t''
dtls\t''
ws\t''
wss\t''"
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from change" -l port -d 'The source port of an address; 0 for any' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from change" -l transport -d 'The transport of the entry that is named' -r -f -a "any\t''
tls\t''
tcp\t''
udp\t''
sctp\t''
dccp\t''
dtls\t''
ws\t''
wss\t''"
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from change" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from change" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from change" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from change" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from change" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from change" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from remove" -l transport -d 'What an address must connect over; tls without this. A source over udp can be forged' -r -f -a "any\t''
tls\t''
tcp\t''
udp\t''
sctp\t''
dccp\t''
dtls\t''
ws\t''
wss\t''"
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from remove" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from remove" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from remove" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from list" -l text -d 'Only those with this text in one of the columns, in any letter case' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from list" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from list" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from list" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from show" -l transport -d 'What an address must connect over; tls without this. A source over udp can be forged' -r -f -a "any\t''
tls\t''
tcp\t''
udp\t''
sctp\t''
dccp\t''
dtls\t''
ws\t''
wss\t''"
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from show" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from show" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from show" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand acl; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and not __fish_seen_subcommand_from add change remove list show" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and not __fish_seen_subcommand_from add change remove list show" -f -a "add" -d 'Add a filter'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and not __fish_seen_subcommand_from add change remove list show" -f -a "change" -d 'Change a filter; what is not given stays'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and not __fish_seen_subcommand_from add change remove list show" -f -a "remove" -d 'Remove filters'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and not __fish_seen_subcommand_from add change remove list show" -f -a "list" -d 'List the filters in the order in which they are asked'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and not __fish_seen_subcommand_from add change remove list show" -f -a "show" -d 'Show one filter'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from add" -l header -d 'Header of the first condition, or request-line; \'\' for none' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from add" -l regex -d 'Regular expression (ECMAScript) that is searched for in it' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from add" -l header2 -d 'Header of the second condition; both must hold' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from add" -l regex2 -d 'Its regular expression' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from add" -l method -d 'Only requests of this method; \'\' for any' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from add" -l event -d 'Only requests with this Event; \'\' for any' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from add" -l order -d 'The smallest is asked first, from -32768 to 32767; 0 without this' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from add" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from add" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from add" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from add" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from change" -l header -d 'Header of the first condition, or request-line; \'\' for none' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from change" -l regex -d 'Regular expression (ECMAScript) that is searched for in it' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from change" -l header2 -d 'Header of the second condition; both must hold' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from change" -l regex2 -d 'Its regular expression' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from change" -l method -d 'Only requests of this method; \'\' for any' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from change" -l event -d 'Only requests with this Event; \'\' for any' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from change" -l order -d 'The smallest is asked first, from -32768 to 32767; 0 without this' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from change" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from change" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from change" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from change" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from change" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from change" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from remove" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from remove" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from remove" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from list" -l text -d 'Only those with this text in one of the columns, in any letter case' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from list" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from list" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from list" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from show" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from show" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from show" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand filter; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and not __fish_seen_subcommand_from add change remove list show" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and not __fish_seen_subcommand_from add change remove list show" -f -a "add" -d 'Let a name in a certificate use an identity'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and not __fish_seen_subcommand_from add change remove list show" -f -a "change" -d 'Give it to another name, or give the name another identity'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and not __fish_seen_subcommand_from add change remove list show" -f -a "remove" -d 'The name may use it no longer'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and not __fish_seen_subcommand_from add change remove list show" -f -a "list" -d 'List names and what they may use'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and not __fish_seen_subcommand_from add change remove list show" -f -a "show" -d 'Show one of them'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from add" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from add" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from add" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from add" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from change" -l new-name -d 'The name instead of this one' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from change" -l new-identity -d 'The identity instead of this one' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from change" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from change" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from change" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from change" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from change" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from change" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from remove" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from remove" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from remove" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from list" -l text -d 'Only those with this text in one of the columns, in any letter case' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from list" -l domain -d 'Only those of this domain' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from list" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from list" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from list" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from show" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from show" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from show" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand identity; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and not __fish_seen_subcommand_from add change remove list show" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and not __fish_seen_subcommand_from add change remove list show" -f -a "add" -d 'Add a contact of an address-of-record'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and not __fish_seen_subcommand_from add change remove list show" -f -a "change" -d 'Change a contact; what is not given stays'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and not __fish_seen_subcommand_from add change remove list show" -f -a "remove" -d 'Remove a contact'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and not __fish_seen_subcommand_from add change remove list show" -f -a "list" -d 'List the contacts with their numbers and keys'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and not __fish_seen_subcommand_from add change remove list show" -f -a "show" -d 'Show one contact'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from add" -l path -d 'A proxy that the contact is reached through; give it again for a further one' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from add" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from add" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from add" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from add" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from change" -l new-aor -d 'The address-of-record instead of this one' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from change" -l new-contact -d 'The contact instead of this one' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from change" -l path -d 'The path instead of this one; \'\' for none' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from change" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from change" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from change" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from change" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from change" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from change" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from remove" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from remove" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from remove" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from list" -l text -d 'Only those with this text in one of the columns, in any letter case' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from list" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from list" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from list" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from show" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from show" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from show" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand registration; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand import" -l config -d 'The configuration that says where the store is, and what Database1 is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand import" -l store -d 'The file of an embedded store, wherever the configuration has another' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand import" -l socket -d 'The control socket of the server to tell, in place of that of the configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand import" -l dry-run -d 'Say what would be taken over, and change nothing'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand import" -l trust-wide-networks -d 'Take over ACL entries for networks wider than /8 (IPv6: /16) too; one with /0 trusts everybody'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand import" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand import" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand import" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand export" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand export" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand export" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand export" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand export" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand backup" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand backup" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand backup" -l replace -d 'Replace the file if it is there'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand backup" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand backup" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand backup" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand restore" -l config -d 'The configuration that says where the store is' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand restore" -l store -d 'The file of an embedded store, without any configuration' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand restore" -l json -d 'Print JSON, one object a line'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand restore" -s q -l quiet -d 'Do not say what was done'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand restore" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand completions" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand man" -l dir -d 'Write every page into this directory instead' -r -f -a "(__fish_complete_directories)"
complete -c sipvouch -n "__fish_sipvouch_using_subcommand man" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and not __fish_seen_subcommand_from status connections certificates reload changed drain close loglevel keylog" -l socket -d 'The control socket' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and not __fish_seen_subcommand_from status connections certificates reload changed drain close loglevel keylog" -l config -d 'The configuration file whose ControlSocket it is [default: repro.config]' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and not __fish_seen_subcommand_from status connections certificates reload changed drain close loglevel keylog" -l json -d 'Print the result as one line of JSON'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and not __fish_seen_subcommand_from status connections certificates reload changed drain close loglevel keylog" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and not __fish_seen_subcommand_from status connections certificates reload changed drain close loglevel keylog" -f -a "status" -d 'How the server is: version, age, listeners, connections, counters'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and not __fish_seen_subcommand_from status connections certificates reload changed drain close loglevel keylog" -f -a "connections" -d 'List connections, who they are and what they did'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and not __fish_seen_subcommand_from status connections certificates reload changed drain close loglevel keylog" -f -a "certificates" -d 'List the certificates that are in force, and the days they have left'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and not __fish_seen_subcommand_from status connections certificates reload changed drain close loglevel keylog" -f -a "reload" -d 'Load configuration, certificates and mappings again, as SIGHUP does, and say what changed'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and not __fish_seen_subcommand_from status connections certificates reload changed drain close loglevel keylog" -f -a "changed" -d 'Say that tables of the store were changed, so that the server takes them up again'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and not __fish_seen_subcommand_from status connections certificates reload changed drain close loglevel keylog" -f -a "drain" -d 'End in peace, as SIGTERM does; does not wait for the end'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and not __fish_seen_subcommand_from status connections certificates reload changed drain close loglevel keylog" -f -a "close" -d 'Close one connection'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and not __fish_seen_subcommand_from status connections certificates reload changed drain close loglevel keylog" -f -a "loglevel" -d 'Say what is logged, or change it until the next change or restart'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and not __fish_seen_subcommand_from status connections certificates reload changed drain close loglevel keylog" -f -a "keylog" -d 'Write the TLS secrets of one peer to a new file, to read a capture of what it says'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from status" -l socket -d 'The control socket' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from status" -l config -d 'The configuration file whose ControlSocket it is [default: repro.config]' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from status" -l json -d 'Print the result as one line of JSON'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from connections" -l peer -d 'Only of this address, with a port or without' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from connections" -l identity -d 'Only with this in a name of the certificate' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from connections" -l listener -d 'Only on this listener: address:port, or the port' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from connections" -l socket -d 'The control socket' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from connections" -l config -d 'The configuration file whose ControlSocket it is [default: repro.config]' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from connections" -l json -d 'Print the result as one line of JSON'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from connections" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from certificates" -l socket -d 'The control socket' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from certificates" -l config -d 'The configuration file whose ControlSocket it is [default: repro.config]' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from certificates" -l json -d 'Print the result as one line of JSON'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from certificates" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from reload" -l socket -d 'The control socket' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from reload" -l config -d 'The configuration file whose ControlSocket it is [default: repro.config]' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from reload" -l json -d 'Print the result as one line of JSON'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from reload" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from changed" -l socket -d 'The control socket' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from changed" -l config -d 'The configuration file whose ControlSocket it is [default: repro.config]' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from changed" -l json -d 'Print the result as one line of JSON'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from changed" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l socket -d 'The control socket' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l config -d 'The configuration file whose ControlSocket it is [default: repro.config]' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l json -d 'Print the result as one line of JSON'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from drain" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from close" -l socket -d 'The control socket' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from close" -l config -d 'The configuration file whose ControlSocket it is [default: repro.config]' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from close" -l json -d 'Print the result as one line of JSON'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from close" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from loglevel" -l socket -d 'The control socket' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from loglevel" -l config -d 'The configuration file whose ControlSocket it is [default: repro.config]' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from loglevel" -l json -d 'Print the result as one line of JSON'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from loglevel" -s h -l help -d 'Print help'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from keylog" -l peer -d 'Whose: an address, with a port or without' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from keylog" -l seconds -d 'For how long, an hour at most' -r
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from keylog" -l file -d 'A file that is not there yet, where the server may write' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from keylog" -l socket -d 'The control socket' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from keylog" -l config -d 'The configuration file whose ControlSocket it is [default: repro.config]' -r -F
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from keylog" -l json -d 'Print the result as one line of JSON'
complete -c sipvouch -n "__fish_sipvouch_using_subcommand ctl; and __fish_seen_subcommand_from keylog" -s h -l help -d 'Print help'
