import ArgumentParser
import Glibc
import KafkaFrontend

/// `rdmad user`: who may use the Kafka door.
struct UserCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user", abstract: "Say who may use the Kafka door, and with which password.",
        discussion: """
            The file has no passwords, but what they are checked against: SCRAM-SHA-256 and SCRAM-SHA-512 with salt
            (RFC 5802), which serve SASL PLAIN as well. A broker reads it when it starts.

              rdmad user add anna --users users.conf          asks for the password
              rdmad user add ci --users users.conf < password
              rdmad user list --users users.conf
              rdmad user remove anna --users users.conf
            """,
        subcommands: [Add.self, Remove.self, List.self])

    struct Options: ParsableArguments {
        @Option(help: "The file of users, as `serve` gets it.") var users: String

        func read() throws -> UserStore {
            do { return try UserStore(path: users) } catch { throw Failure("\(error)") }
        }

        func write(_ store: UserStore) throws {
            do { try store.save(to: users) } catch { throw Failure("\(error)") }
        }
    }

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Add a user, or give one another password: the first line of standard input.")
        @OptionGroup var options: Options
        @Argument(help: "Anything but spaces and `=`, `,`, `:`, `#`.") var name: String
        @Option(help: "How hard guessing is made, and each PLAIN login.") var iterations = ScramCredential
            .iterationsDefault

        func validate() throws {
            guard UserStore.isName(name) else { throw ValidationError("\(name) cannot be a user's name") }
            guard (ScramCredential.iterationsDefault...ScramCredential.iterationsMax).contains(iterations) else {
                throw ValidationError(
                    "--iterations is \(ScramCredential.iterationsDefault) to \(ScramCredential.iterationsMax)")
            }
        }

        func run() throws {
            // A file that is not there yet becomes one.
            var store = unsafe access(options.users, F_OK) == 0 ? try options.read() : UserStore()
            let password = try Self.password()
            guard !password.isEmpty else { throw Failure("the password is empty") }
            for mechanism in ScramMechanism.allCases {
                store.set(name, ScramCredential(mechanism, password: password, iterations: iterations))
            }
            try options.write(store)
            print("\(name) may use the Kafka door with the next start of the broker")
        }

        private static func password() throws -> String {
            if isatty(STDIN_FILENO) == 1 {
                guard let typed = unsafe getpass("Password: ") else { throw Failure("no password was given") }
                return unsafe String(cString: typed)
            }
            return readLine() ?? ""
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove a user.")
        @OptionGroup var options: Options
        @Argument var name: String

        func run() throws {
            var store = try options.read()
            guard store.remove(name) else { throw Failure("\(options.users) has no user \(name)") }
            try options.write(store)
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the users.")
        @OptionGroup var options: Options
        @Flag(help: "Results as JSON, on one line.") var json = false

        func run() throws {
            let names = try options.read().names
            if json { print("\(JSON.list(names.map { .object([("name", .text($0))]) }))") }
            if !json { for name in names { print(name) } }
        }
    }
}
