import ArgumentParser
import DevicePlugin
import Glibc
import Resources

/// The command line: `run` serves, the others look.
@main struct DevicePluginCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rdmad-device-plugin",
        abstract: "Gives RDMA devices, and seats at the node's rdmad, to Kubernetes pods.",
        discussion: "Exit status: 0 stopped by a signal, 1 failed (the reason is on standard error), 2 wrong usage.",
        version: "0.1.0", subcommands: [Run.self, Devices.self, Check.self], defaultSubcommand: Run.self)

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand { try await command.run() } else { try command.run() }
            guard fflush(nil) == 0 else {
                throw PluginError("cannot write: \(unsafe String(cString: strerror(errno)))")
            }
        } catch let error as ConfigurationErrors {
            fail("\(error)")
        } catch let error as PluginError {
            fail("rdmad-device-plugin: \(error)")
        } catch  where exitCode(for: error) == .validationFailure {
            writeToStandardError("\(fullMessage(for: error))\n")
            exit(withError: ExitCode(2))
        } catch {
            exit(withError: error)
        }
    }

    private static func fail(_ text: String) -> Never {
        writeToStandardError("\(text)\n")
        exit(withError: ExitCode(1))
    }
}

/// Text on standard error, unbuffered.
func writeToStandardError(_ text: String) {
    var text = text
    text.withUTF8 { _ = unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
}

/// Where a node's devices and the configuration are.
struct NodeOptions: ParsableArguments {
    @Option(
        // The other two are flags of Mellanox's plugin, whose parser takes one dash or two.
        name: [.long, .customLong("config-file"), .customLong("config-file", withSingleDash: true)],
        help: ArgumentHelp(
            "The configuration. Default: \(defaultConfiguration), or \(mellanoxConfiguration) if only that exists.",
            valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("The node's sysfs.", valueName: "directory"))
    var sysfsRoot = "/sys"

    @Option(help: ArgumentHelp("The node's devices, at the same path on the host.", valueName: "directory"))
    var devRoot = "/dev"

    var configurationFile: String {
        if let config { return config }
        let isThere = { (path: String) in unsafe access(path, F_OK) == 0 }
        return !isThere(defaultConfiguration) && isThere(mellanoxConfiguration)
            ? mellanoxConfiguration : defaultConfiguration
    }
}

private let defaultConfiguration = "/etc/rdmad-device-plugin/config.yaml"
/// Where the manifests of Mellanox's plugin mount its file.
private let mellanoxConfiguration = "/k8s-rdma-shared-dev-plugin/config.json"
