internal import Inventory

/// A file of the Container Device Interface, version 0.5.0: what a runtime does when it is told a device's name.
///
/// Source: cncf-tags/container-device-interface, SPEC.md.
package struct CDISpec: Sendable, Equatable {
    /// `vendor/class`.
    package var kind: String
    /// The contents.
    package var text: String

    /// The file's name in the directory of specs.
    package var fileName: String { kind.map { $0 == "/" ? "_" : String($0) }.joined() + ".json" }

    /// The kind of a resource: its name, with what a class may not hold replaced.
    package static func kind(_ resource: String) -> String {
        let parts = resource.split(separator: "/", maxSplits: 1).map(String.init)
        let name = parts[parts.count - 1].map { character in
            character.isASCII && (character.isLetter || character.isNumber || "-_".contains(character))
                ? String(character) : "_"
        }.joined()
        let vendor = parts.count > 1 ? parts[0] : "rdmad.dev"
        // Both begin with a letter.
        return [vendor, name].map { $0.first?.isLetter == true ? $0 : "x\($0)" }.joined(separator: "/")
    }

    /// The spec of a resource over the devices that a pool has, whose nodes are in `deviceRoot` on the host.
    package init(_ pool: Pool, deviceRoot: String) {
        kind = Self.kind(pool.definition.name)
        let node = { (name: String) in
            JSON.compact([
                ("path", .string("/dev/infiniband/\(name)")),
                ("hostPath", deviceRoot == "/dev" ? .null : .string("\(deviceRoot)/infiniband/\(name)")),
                ("permissions", .string("rw")),
            ])
        }
        let devices = pool.members.compactMap { member -> JSON? in
            let nodes = pool.nodes(of: [member])
            guard !nodes.isEmpty else { return nil }
            // Of two devices' rdma_cm a runtime keeps one.
            return .object([
                ("name", .string(member.device.name)),
                ("containerEdits", .object([("deviceNodes", .array(nodes.map(node)))])),
            ])
        }
        let members: [(String, JSON)] = [
            ("cdiVersion", .string("0.5.0")), ("kind", .string(kind)), ("devices", .array(devices)),
        ]
        text = JSON.object(members).text + "\n"
    }

    /// Whether there is a device in it: a spec without devices is invalid.
    package static func isNeeded(_ pool: Pool) -> Bool { !pool.nodes(of: pool.members).isEmpty }
}
