internal import Resources

/// The metrics in Prometheus' text format.
enum MetricsText {
    private static let prefix = "rdmad_device_plugin_"

    static func text(
        servers: [ResourceServer], rdmaDevices: Int, kubeletRestarts: Int, isConfigurationCurrent: Bool, reloads: Int,
        refusedReloads: Int
    ) -> String {
        var text = ""
        metric(&text, "rdma_devices", "gauge", "RDMA devices on this node.", [("", "\(rdmaDevices)")])
        metric(
            &text, "kubelet_restarts_total", "counter", "New sockets of the kubelet.", [("", "\(kubeletRestarts)")])
        metric(
            &text, "config_current", "gauge",
            "1 while the configuration file is in use as it is, 0 when it was refused or is gone.",
            [("", isConfigurationCurrent ? "1" : "0")])
        metric(
            &text, "config_reloads_total", "counter", "Changes of the configuration file.",
            [("result=\"used\"", "\(reloads)"), ("result=\"refused\"", "\(refusedReloads)")])
        metric(
            &text, "devices", "gauge", "Devices (shares, seats) of a resource.",
            servers.flatMap { server in
                let entries = server.feed.pool.entries
                let healthy = entries.count { $0.isHealthy }
                return [
                    ("resource=\"\(server.name)\",health=\"healthy\"", "\(healthy)"),
                    ("resource=\"\(server.name)\",health=\"unhealthy\"", "\(entries.count - healthy)"),
                ]
            })
        metric(
            &text, "stream_open", "gauge", "1 while the kubelet listens.",
            servers.map { ("resource=\"\($0.name)\"", $0.counters.streamAge == nil ? "0" : "1") })
        metric(
            &text, "stream_age_seconds", "gauge", "How long the kubelet has listened without a break.",
            servers.map { server in
                let age = server.counters.streamAge ?? .zero
                return ("resource=\"\(server.name)\"", "\((age / .milliseconds(1)).rounded() / 1000)")
            })
        for event in Counters.Event.allCases {
            metric(
                &text, event.rawValue, "counter", help(event),
                servers.map { ("resource=\"\($0.name)\"", "\($0.counters.value(event))") })
        }
        return text
    }

    private static func metric(
        _ text: inout String, _ name: String, _ type: String, _ help: String,
        _ samples: [(labels: String, value: String)]
    ) {
        text += "# HELP \(prefix)\(name) \(help)\n# TYPE \(prefix)\(name) \(type)\n"
        for sample in samples {
            text += "\(prefix)\(name)\(sample.labels.isEmpty ? "" : "{\(sample.labels)}") \(sample.value)\n"
        }
    }

    private static func help(_ event: Counters.Event) -> String {
        switch event {
        case .registrations: "Register calls that the kubelet answered."
        case .failedRegistrations: "Attempts to register that failed."
        case .listMessages: "Lists sent to the kubelet."
        case .allocations: "Containers that got what they asked for."
        case .refusals: "Containers that did not."
        case .losses: "Times that the kubelet stopped listening, or that the socket was removed."
        }
    }
}
