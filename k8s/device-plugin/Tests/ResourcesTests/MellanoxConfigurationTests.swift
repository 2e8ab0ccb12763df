import Foundation
import Resources
import Testing

/// `golden/mellanox-readme.json` is the example of that plugin's README, byte for byte.
@Suite struct MellanoxConfigurationTests {
    func golden(_ name: String) throws -> Configuration {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "golden/\(name)")
        return try Configuration(String(contentsOf: file, encoding: .utf8), file: name)
    }

    func rules(_ resource: ResourceDefinition) throws -> ResourceDefinition.DeviceRules {
        guard case .devices(let rules) = resource.kind else { throw Reason("not devices") }
        return rules
    }

    @Test func readsTheirExample() throws {
        let configuration = try golden("mellanox-readme.json")
        let (first, second) = (configuration.resources[0], configuration.resources[1])
        #expect(first.name == "example_prefix/hca_shared_devices_a")
        #expect(try rules(first).selectors == [Selector([(.ifNames, ["ib0", "ib1"].map { Pattern(literal: $0) })])])
        #expect(try rules(first).shares == 1000)
        #expect(second.name == "rdma/hca_shared_devices_b")
        #expect(try rules(second).shares == 500)
        #expect(try rules(second).selectors[0].fields.map(\.field) == [.vendors, .deviceIDs, .ifNames])
        #expect(try rules(second).includesManagement)
        // Kubelets refuse the prefix of the example: a remark, as their plugin takes it.
        #expect(configuration.remarks.contains { $0.contains("example_prefix") })
        #expect(configuration.remarks.contains { $0.contains("rdmaHcaMax 1000 counts per device") })
        #expect(configuration.remarks.contains { $0.contains("periodicUpdateInterval 300 is not used") })
    }

    @Test func readsAsGoDoes() throws {
        let configuration = try golden("mellanox-tabs.json")
        #expect(configuration.resources.map(\.name) == ["rdma/hca_shared_devices_a"])
        #expect(try rules(configuration.resources[0]).selectors[0].fields.map(\.field) == [.vendors, .linkTypes])
        #expect(configuration.remarks.contains("ConfigList[0].comment: is no field of that format and ignored"))
    }

    /// What their plugin refuses, too.
    @Test(arguments: [
        (#"{"configList": []}"#, "configList: is empty: it names no resource"),
        (
            #"{"periodicUpdateInterval": -1, "configList": []}"#,
            "periodicUpdateInterval: must be 0 to 2147483647, is -1"
        ),
        (
            #"{"configList": [{"resourceName": "a-b", "rdmaHcaMax": 1, "devices": ["x"]}]}"#,
            "configList[0].resourceName: 'a-b' is not made of letters, digits and '_'"
        ),
        (
            #"{"configList": [{"rdmaHcaMax": 1, "devices": ["x"]}]}"#,
            "configList[0].resourceName: '' is not made of letters, digits and '_'"
        ),
        (
            #"{"configList": [{"resourceName": "a", "rdmaHcaMax": -1, "devices": ["x"]}]}"#,
            "configList[0].rdmaHcaMax: must be 0 to 10000, is -1"
        ),
        (
            #"{"configList": [{"resourceName": "a", "rdmaHcaMax": "1", "devices": ["x"]}]}"#,
            "configList[0].rdmaHcaMax: must be a whole number, is '1'"
        ),
        (
            #"{"configList": [{"resourceName": "a", "rdmaHcaMax": 1, "selectors": {}}]}"#,
            "configList[0]: has neither 'selectors' nor 'devices'"
        ),
        (
            #"{"configList": [{"resourceName": "a", "rdmaHcaMax": 1, "devices": ["x"], "#
                + #""selectors": {"ifNames": ["y"]}}]}"#,
            "configList[0].devices: does not go with 'selectors': give one of them"
        ),
        (
            #"{"configList": [{"resourceName": "a", "devices": ["x"]}, "#
                + #"{"resourceName": "a", "resourcePrefix": "b", "devices": ["x"]}]}"#,
            "configList[1].resourceName: 'a' is taken by configList[0]"
        ),
    ])
    func refuses(_ text: String, _ error: String) {
        #expect(
            performing: { try Configuration(text, file: "c.json") },
            throws: { thrown in
                (thrown as? ConfigurationErrors)?.description == "c.json: \(error) (line 1)"
            })
    }

    /// Theirs compares whole strings; a star is no glob there.
    @Test func hasNoGlobs() throws {
        let configuration = try Configuration(
            #"{"configList": [{"resourceName": "a", "rdmaHcaMax": 0, "devices": ["ib*"]}]}"#, file: "c.json")
        #expect(try rules(configuration.resources[0]).selectors == [Selector([(.ifNames, [Pattern(literal: "ib*")])])])
        #expect(configuration.remarks.contains { $0.hasSuffix("rdmaHcaMax is 0: there is nothing to hand out") })
    }
}
