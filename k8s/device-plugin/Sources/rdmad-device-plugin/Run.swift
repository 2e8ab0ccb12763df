import ArgumentParser
import DevicePlugin
import Logging

/// Serves the kubelet.
struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Serve the node's kubelet until SIGTERM (the default).")

    @OptionGroup var node: NodeOptions

    @Option(help: ArgumentHelp("The kubelet's --root-dir.", valueName: "directory"))
    var kubeletRoot = "/var/lib/kubelet"

    @Option(help: "CDI names for containers: auto (names and device nodes, when the directory is there), on, off.")
    var cdi = PluginOptions.CDIMode.auto

    // The flag of Mellanox's plugin.
    @Flag(name: [.long, .customLong("use-cdi", withSingleDash: true)], help: .hidden)
    var useCdi = false

    @Option(help: ArgumentHelp("Where CDI specs go.", valueName: "directory"))
    var cdiDir = "/var/run/cdi"

    @Option(help: ArgumentHelp("The host's directory with a directory for each seat.", valueName: "directory"))
    var seatDirectory = "/run/rdmad/seats"

    @Option(help: ArgumentHelp("Where /healthz and /metrics are served, or 'none'.", valueName: "host:port"))
    var metricsAddress = "127.0.0.1:9441"

    @Option(help: ArgumentHelp("How often to look for what no event told.", valueName: "seconds"))
    var pollInterval = 2.0

    @Option(help: ArgumentHelp("/healthz fails when the kubelet has not listened for so long.", valueName: "seconds"))
    var unhealthyAfter = 30.0

    @Option(
        help: "trace, debug, info, notice, warning, error or critical.",
        transform: { text in
            guard let level = Logger.Level(rawValue: text) else { throw ValidationError("'\(text)' is no log level") }
            return level
        })
    var logLevel = Logger.Level.info

    @Option(help: "text or json.")
    var logFormat = LogFormat.text

    func validate() throws {
        guard (0.01...86_400).contains(pollInterval) else {
            throw ValidationError("--poll-interval must be 0.01 to 86400 seconds")
        }
        guard (1...86_400).contains(unhealthyAfter) else {
            throw ValidationError("--unhealthy-after must be 1 to 86400 seconds")
        }
        guard metricsAddress == "none" || MetricsAddress(metricsAddress) != nil else {
            throw ValidationError("--metrics-address must be HOST:PORT or none, is '\(metricsAddress)'")
        }
    }

    func run() async throws {
        var options = PluginOptions(configurationFile: node.configurationFile)
        options.kubeletRoot = kubeletRoot
        options.sysfsRoot = node.sysfsRoot
        options.deviceRoot = node.devRoot
        options.cdi = useCdi ? .on : cdi
        options.cdiDirectory = cdiDir
        options.seatDirectory = seatDirectory
        options.metricsAddress = MetricsAddress(metricsAddress)
        options.pollInterval = .milliseconds(Int(pollInterval * 1000))
        options.unhealthyAfter = .milliseconds(Int(unhealthyAfter * 1000))
        var log = Logger(label: "rdmad-device-plugin") { [logFormat] _ in StandardErrorLog(format: logFormat) }
        log.logLevel = logLevel
        let coordinator = Coordinator(options, log: log)
        TerminationSignals.onTermination { coordinator.stop() }
        try await coordinator.run()
    }
}

extension PluginOptions.CDIMode: ExpressibleByArgument {}
