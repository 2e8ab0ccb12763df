/// Where things are, and how the plugin behaves: the command line.
package struct PluginOptions: Sendable {
    /// The configuration file.
    package var configurationFile: String
    /// Sockets are in `device-plugins` below it.
    package var kubeletRoot = "/var/lib/kubelet"
    /// `/sys`, or what stands for it.
    package var sysfsRoot = "/sys"
    /// `/dev`, or what stands for it.
    package var deviceRoot = "/dev"
    /// Whether containers get their devices by CDI names.
    package var cdi = CDIMode.auto
    /// Where CDI specs go.
    package var cdiDirectory = "/var/run/cdi"
    /// The host's directory with a directory per seat.
    package var seatDirectory = "/run/rdmad/seats"
    /// Where metrics and health are served; nil for nowhere.
    package var metricsAddress: MetricsAddress?
    /// How often to look for what no event told.
    package var pollInterval = Duration.seconds(2)
    /// A kubelet that does not listen for so long makes `/healthz` fail.
    package var unhealthyAfter = Duration.seconds(30)

    /// Defaults for everything but the configuration.
    package init(configurationFile: String) { self.configurationFile = configurationFile }

    /// Whether containers get their devices by CDI names.
    package enum CDIMode: String, Sendable, CaseIterable {
        /// Both ways, when the directory of specs is there and can be written.
        case auto
        /// By CDI names only.
        case on
        /// Node by node only.
        case off
    }

    /// The kubelet's directory of device plugins.
    package var pluginDirectory: String { "\(kubeletRoot)/device-plugins" }
}

/// Why the plugin cannot go on.
package struct PluginError: Error, CustomStringConvertible {
    /// In words.
    package let description: String
    /// An error in these words.
    package init(_ description: String) { self.description = description }
}
