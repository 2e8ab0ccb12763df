import FakeNode
import Inventory
import Logging
import Resources
import Testing

@testable import DevicePlugin

/// What needs no kubelet. The rest is tested from outside, against kubelets (Tests/kubelet).
@Suite struct CoordinatorTests {
    let node = FakeNode()

    func options(_ configuration: String, kubeletRoot: String? = nil) -> PluginOptions {
        node.write("config.yaml", configuration)
        var options = PluginOptions(configurationFile: "\(node.root)/config.yaml")
        options.kubeletRoot = kubeletRoot ?? node.kubelet
        options.sysfsRoot = node.sysfs
        options.deviceRoot = node.devices
        options.cdiDirectory = "\(node.root)/cdi"
        options.seatDirectory = "\(node.root)/seats"
        return options
    }

    func coordinator(_ options: PluginOptions) -> Coordinator {
        Coordinator(options, log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    static let good = "version: v1\nresources: [{name: a.b/c, selectors: [{rdmaDevices: ['*']}]}]"

    @Test(.timeLimit(.minutes(1))) func badConfigurationEndsTheStart() async {
        let options = options("version: v1\nresources: [{name: a.b/c, seats: 0}]")
        await #expect(throws: ConfigurationErrors.self) { try await coordinator(options).run() }
    }

    @Test(.timeLimit(.minutes(1))) func pathsTooLongAreRefusedWithTheirLength() async {
        let options = options(Self.good, kubeletRoot: "/" + String(repeating: "k", count: 90))
        await #expect(
            performing: { try await coordinator(options).run() },
            throws: { error in
                let entry = (error as? ConfigurationErrors)?.errors.first
                return entry?.field == "resources[0].name"
                    && entry?.reason.contains("has 117 bytes, 107 is the limit") == true
            })
    }

    @Test(.timeLimit(.minutes(1))) func missingSpecDirectoryIsAnErrorOnlyWhenItMustBe() async {
        var options = options(Self.good)
        node.remove("cdi")
        options.cdi = .on
        let coordinator = coordinator(options)
        await #expect(throws: PluginError.self) { try await coordinator.run() }
    }

    @Test(.timeLimit(.minutes(1))) func nothingIsServedWithoutTheMetricsPort() async {
        node.add(.roce)
        var options = options(Self.good)
        // Of a network for documentation: no machine's own.
        options.metricsAddress = MetricsAddress("192.0.2.1:9441")
        await #expect(throws: PluginError.self) { try await coordinator(options).run() }
        #expect(!node.exists("cdi/a.b_c.json"))
    }

    @Test(.timeLimit(.minutes(1))) func stopsWithoutKubelet() async throws {
        node.add(.roce)
        let coordinator = coordinator(options(Self.good))
        coordinator.stop()
        try await coordinator.run()
        #expect(node.exists("cdi/a.b_c.json"))
        #expect(!node.exists("kubelet/device-plugins/a.b_c.sock"))
    }
}
