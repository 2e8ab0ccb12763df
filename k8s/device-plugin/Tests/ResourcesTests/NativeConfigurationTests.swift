import Resources
import Testing

@Suite struct NativeConfigurationTests {
    func errors(_ text: String) -> [String] {
        do throws(ConfigurationErrors) {
            _ = try Configuration(text, file: "f.yaml")
            return []
        } catch {
            return error.description.split(separator: "\n").map(String.init)
        }
    }

    @Test func readsEverything() throws {
        let configuration = try Configuration(
            """
            version: v1
            resources:
              - name: rdmad.dev/hca
                shares: 64
                selectors:
                  - rdmaDevices: ["mlx5_*"]
                    vendors: ["15B3"]
                    deviceIDs: [1017]
                  - linkLayers: [InfiniBand]
                    portStates: [active]
                health: all-ports
                preferred: spread
                userspaceMAD: true
              - {name: rdmad.dev/whole, exclusive: true, selectors: [{drivers: [rdma_rxe]}]}
              - {name: rdmad.dev/client, seats: 64}
            """, file: "f.yaml")
        #expect(configuration.resources.map(\.name) == ["rdmad.dev/hca", "rdmad.dev/whole", "rdmad.dev/client"])
        guard case .devices(let rules) = configuration.resources[0].kind else {
            Issue.record("not devices")
            return
        }
        #expect(rules.shares == 64)
        #expect(rules.health == .allPorts)
        #expect(rules.preference == .spread)
        #expect(rules.includesManagement)
        #expect(rules.selectors[0].fields.map(\.field) == [.rdmaDevices, .vendors, .deviceIDs])
        #expect(rules.selectors[0].fields[1].patterns.map(\.source) == ["15b3"])
        #expect(rules.selectors[0].fields[2].patterns.map(\.source) == ["1017"])
        #expect(configuration.resources[2].kind == .seats(64))
    }

    @Test func readsJSON() throws {
        let text =
            #"{"version": "v1", "resources": [{"name": "a.b/c", "shares": 2, "selectors": [{"ifNames": ["*"]}]}]}"#
        #expect(try Configuration(text, file: "f.json").resources.map(\.name) == ["a.b/c"])
    }

    /// Each with its field, its reason, its line.
    @Test(arguments: [
        ("resources: [{name: a/b, seats: 1}]", "f.yaml: version: is missing (line 1)"),
        ("version: v2\nresources: [{name: a/b, seats: 1}]", "f.yaml: version: must be v1, is 'v2' (line 1)"),
        ("version: v1", "f.yaml: resources: is missing (line 1)"),
        ("version: v1\nresources: []", "f.yaml: resources: is empty: it names no resource (line 2)"),
        ("version: v1\nresources: {}", "f.yaml: resources: must be a list, is a mapping (line 2)"),
        (
            "version: v1\nresource: 1\nresources: [{name: a/b, seats: 1}]",
            "f.yaml: resource: is no field here, these are: version, resources (line 2)"
        ),
        ("[]", "f.yaml: is not a mapping: it has no fields"),
        ("", "f.yaml: is not a mapping: it has no fields"),
        ("a: [", "f.yaml: is neither YAML nor JSON: did not find expected node content (line 2)"),
        ("version: v1\nversion: v1", "f.yaml: has the field 'version' twice (line 2)"),
        ("version: v1\n---\nversion: v1", "f.yaml: has a second document (line 3)"),
        ("version: &a v1\nresources: *a", "f.yaml: has an alias: write what it stands for in its place (line 2)"),
        ("[a]: v1", "f.yaml: has a field whose name is no text (line 1)"),
        ("a: " + String(repeating: "[", count: 100_000), "f.yaml: is nested deeper than 32 (line 1)"),
        ("version: v1\nresources: \u{1}", "f.yaml: is neither YAML nor JSON: control characters are not allowed"),
        (
            "version: v1\nresources: [{name: a/b, seats: !!str 5}]",
            "f.yaml: resources[0].seats: must be a whole number, is '5' (line 2)"
        ),
    ])
    func refuses(_ text: String, _ error: String) {
        #expect(errors(text) == [error])
    }

    @Test(arguments: [
        ("{name: a/b, shares: 0, selectors: [{ifNames: [x]}]}", "shares: must be 1 to 10000, is 0"),
        ("{name: a/b, shares: 1.5, selectors: [{ifNames: [x]}]}", "shares: must be a whole number, is '1.5'"),
        ("{name: a/b, shares: '5', selectors: [{ifNames: [x]}]}", "shares: must be a whole number, is '5'"),
        ("{name: a/b, seats: 0}", "seats: must be 1 to 10000, is 0"),
        ("{name: a/b, seats: 1, shares: 2}", "shares: does not go with 'seats', which are no devices"),
        (
            "{name: a/b, exclusive: true, shares: 2, selectors: [{ifNames: [x]}]}",
            "shares: does not go with 'exclusive: true': give one of them"
        ),
        (
            "{name: a/b, exclusive: yes please, selectors: [{ifNames: [x]}]}",
            "exclusive: must be true or false, is 'yes please'"
        ),
        (
            "{name: a/b, share: 2, selectors: [{ifNames: [x]}]}",
            "share: is no field here, these are: name, seats, selectors, shares, exclusive, health, preferred, "
                + "userspaceMAD"
        ),
        ("{name: a/b, selectors: []}", "selectors: is empty, it would select nothing"),
        ("{name: a/b, selectors: [{ifNames: []}]}", "selectors[0].ifNames: is empty, it would match nothing"),
        (
            "{name: a/b, selectors: [{vendors: [0x15b3]}]}",
            "selectors[0].vendors[0]: '0x15b3' is not four hexadecimal digits, as in 15b3"
        ),
        ("{name: a/b, selectors: [{ifNames: ['eth[']}]}", "selectors[0].ifNames[0]: 'eth[' has a [ without its ]"),
        (
            "{name: a/b, selectors: [{portStates: [up]}]}",
            "selectors[0].portStates[0]: must be active or armed or down or init, is 'up'"
        ),
        ("{name: a/b, health: good, selectors: [{ifNames: [x]}]}", "health: must be any-port or all-ports, is 'good'"),
        ("{name: ab, seats: 1}", "name: 'ab' is not of the form vendor.domain/name"),
        ("{name: A.b/c, seats: 1}", "name: 'A.b' is not a DNS name in lower case (kubelets refuse it)"),
        ("{name: x.kubernetes.io/c, seats: 1}", "name: 'x.kubernetes.io' belongs to Kubernetes"),
        ("{seats: 1}", "name: is missing"),
    ])
    func refusesResource(_ resource: String, _ error: String) {
        #expect(errors("version: v1\nresources: [\(resource)]") == ["f.yaml: resources[0].\(error) (line 2)"])
    }

    @Test func refusesBadExpression() throws {
        let text = "version: v1\nresources: [{name: a/b, selectors: [{ifNames: ['~eth(']}]}]"
        let error = try #require(errors(text).first)
        #expect(error.hasPrefix("f.yaml: resources[0].selectors[0].ifNames[0]: 'eth(' is not a regular expression: "))
    }

    @Test func saysEverythingAtOnce() {
        let text = """
            version: v1
            resources:
              - name: a/b
                seats: 0
              - name: a/b
                shares: x
                selectors:
                  - vendors: [zz]
            """
        #expect(
            errors(text) == [
                "f.yaml: resources[0].seats: must be 1 to 10000, is 0 (line 4)",
                "f.yaml: resources[1].selectors[0].vendors[0]: 'zz' is not four hexadecimal digits, as in 15b3 "
                    + "(line 8)",
                "f.yaml: resources[1].shares: must be a whole number, is 'x' (line 6)",
                "f.yaml: resources[1].name: 'a/b' is taken by resources[0] (line 5)",
            ])
    }

    @Test func refusesLargeFile() {
        let text = String(repeating: "#", count: Configuration.bytesMax + 1)
        #expect(errors(text) == ["f.yaml: has 1048577 bytes, 1048576 is the limit"])
    }
}
