import ArgumentParser
import Glibc
import RdmadClient

/// The command line: `serve` runs a broker, everything else is a client of one.
@main struct Rdmad: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rdmad",
        abstract: "A topic log whose records are moved by RDMA and shared memory.",
        discussion: """
            Start a broker, make a topic, write a file into it, a record per line, and read it back:

              rdmad serve --data /tmp/data --listen shm:///tmp/rdmad.sock &
              export RDMAD_BROKER=shm:///tmp/rdmad.sock
              rdmad topic create flights --partitions 4
              rdmad produce flights flights.csv
              rdmad consume flights --exit-at-end

            Exit status: 0 done, 1 failed (the reason is on standard error), 64 wrong usage.
            """,
        version: "0.1.0",
        subcommands: [
            Serve.self, TopicCommand.self, ConfigCommand.self, GroupCommand.self, Produce.self, Consume.self,
            LogCommand.self, UserCommand.self, Bench.self, Doctor.self,
        ])

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand { try await command.run() } else { try command.run() }
            // What was printed may still wait in memory.
            guard fflush(nil) == 0 else {
                throw Failure("cannot write: \(unsafe String(cString: strerror(errno)))")
            }
        } catch let error as Failure {
            complain("\(error)")
            exit(withError: ExitCode(1))
        } catch let error as ClientError {
            complain("\(error)")
            exit(withError: ExitCode(1))
        } catch {
            exit(withError: error)
        }
    }
}

/// Text on standard error, unbuffered.
func writeToStandardError(_ text: String) {
    var text = text
    text.withUTF8 { _ = unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
}

/// One line on standard error.
func complain(_ text: String) {
    writeToStandardError("rdmad: \(text)\n")
}

/// Which broker a command talks to.
struct BrokerOptions: ParsableArguments {
    @Option(
        name: [.long, .short],
        help: ArgumentHelp(
            "Where the broker listens: shm:///PATH or rdma://HOST[:PORT]. Default: $RDMAD_BROKER, else "
                + "shm:///run/rdmad/rdmad.sock.",
            valueName: "url"))
    var broker: String?

    var address: BrokerAddress {
        get throws(ClientError) {
            let given = broker ?? (unsafe getenv("RDMAD_BROKER").map { unsafe String(cString: $0) })
            return try BrokerAddress(given ?? "shm:///run/rdmad/rdmad.sock")
        }
    }

    func validate() throws {
        do throws(ClientError) { _ = try address } catch { throw ValidationError("\(error)") }
    }
}
