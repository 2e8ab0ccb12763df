package import Inventory

/// What a container gets.
package struct Allocation: Sendable, Equatable {
    /// Environment variables.
    package var environment: [String: String] = [:]
    /// Files in `/dev/infiniband`, readable and writable.
    package var deviceNodes: [String] = []
    /// `vendor/class=device`.
    package var cdiDevices: [String] = []
    /// Directories of the host, read-only.
    package var mounts: [Mount] = []

    /// A directory of the host in the container.
    package struct Mount: Sendable, Equatable {
        /// On the host.
        package var hostPath: String
        /// In the container.
        package var containerPath: String
    }

    /// Why nothing is given.
    package enum Refusal: Error, Equatable, CustomStringConvertible {
        /// The ids are not of this resource.
        case unknown([String], resource: String)
        /// They are, but not well.
        case unhealthy([String], resource: String)
        /// The daemon does not hold these seats.
        case absent([String], resource: String)
        /// Nothing was asked for.
        case empty(resource: String)
        /// A container has one place for a seat's socket.
        case severalSeats([String], resource: String)

        /// In words.
        package var description: String {
            switch self {
            case .unknown(let ids, let resource):
                "\(resource) has no device \(ids.joined(separator: ", ")) on this node"
            case .unhealthy(let ids, let resource):
                "\(resource): \(ids.joined(separator: ", ")) is unhealthy: its port is down, or its node is gone"
            case .absent(let ids, let resource):
                "\(resource): nobody listens at \(ids.joined(separator: ", ")): rdmad is away, or has fewer --seats"
            case .empty(let resource):
                "\(resource): the request names no device"
            case .severalSeats(let ids, let resource):
                "\(resource): a container takes one seat, not \(ids.count) (\(ids.joined(separator: ", ")))"
            }
        }
    }

    /// How device nodes get into containers.
    package enum Injection: Sendable, Equatable {
        /// Named one by one: any kubelet and runtime.
        case nodes
        /// By CDI names only.
        case cdi
        /// Both: who knows CDI uses it, who does not finds the nodes.
        case both
    }

    /// Gives what `ids` name. No more than those devices: neither their neighbours nor the rest of the resource.
    /// - Parameter gids: The addresses of a device, asked for now: they change with the interfaces' addresses.
    package init(
        _ ids: [String], of pool: Pool, injection: Injection, seatDirectory: String, gids: (RDMADevice) -> [GID]
    ) throws(Refusal) {
        let resource = pool.definition.name
        let entries = Dictionary(pool.entries.map { ($0.id, $0.isHealthy) }, uniquingKeysWith: { $0 && $1 })
        guard !ids.isEmpty else { throw .empty(resource: resource) }
        let unknown = ids.filter { entries[$0] == nil }
        guard unknown.isEmpty else { throw .unknown(unknown, resource: resource) }
        let unhealthy = ids.filter { entries[$0] == false }
        switch pool.definition.kind {
        case .seats:
            guard unhealthy.isEmpty else { throw .absent(unhealthy, resource: resource) }
            guard ids.count == 1 else { throw .severalSeats(ids, resource: resource) }
            mounts = [Mount(hostPath: "\(seatDirectory)/\(ids[0])", containerPath: "/run/rdmad")]
            environment = ["RDMAD_BROKER": "shm:///run/rdmad/rdmad.sock", "RDMAD_SEAT": ids[0]]
        case .devices:
            guard unhealthy.isEmpty else { throw .unhealthy(unhealthy, resource: resource) }
            var members: [Pool.Member] = []
            for id in ids {
                if let member = pool.member(of: id), !members.contains(member) { members.append(member) }
            }
            give(members, of: pool, injection, gids)
        }
    }

    private mutating func give(
        _ members: [Pool.Member], of pool: Pool, _ injection: Injection, _ gids: (RDMADevice) -> [GID]
    ) {
        if injection != .cdi { deviceNodes = pool.nodes(of: members) }
        if injection != .nodes {
            let kind = CDISpec.kind(pool.definition.name)
            cdiDevices = members.map { "\(kind)=\($0.device.name)" }
        }
        environment["RDMAD_DEVICES"] = members.map(\.device.name).joined(separator: ",")
        environment["RDMAD_DEVICE_INFO"] =
            JSON.array(members.map { Self.information($0.device, gids($0.device)) }).text
        // As the SR-IOV plugin has it, so that what reads its variables reads ours.
        let name = pool.definition.environmentName
        environment[name] = members.map(\.device.busAddress).joined(separator: ",")
        environment["\(name)_INFO"] =
            JSON.object(members.map { ($0.device.busAddress, Self.rdmaInformation($0, pool)) }).text
    }

    private static func information(_ device: RDMADevice, _ gids: [GID]) -> JSON {
        .compact([
            ("name", .string(device.name)),
            ("uverbs", .optional(device.verbs.map { "/dev/infiniband/\($0)" })),
            ("pciAddress", .optional(device.pci?.address)),
            ("numaNode", device.numaNode.map(JSON.number) ?? .null),
            ("netdevs", .strings(device.netdevs.map(\.name))),
            (
                "ports",
                .array(
                    device.ports.map {
                        .object([("port", .number($0.number)), ("linkLayer", .string($0.linkLayer))])
                    })
            ),
            (
                "gids",
                .array(
                    gids.map {
                        .compact([
                            ("port", .number($0.port)), ("index", .number($0.index)), ("gid", .string($0.value)),
                            ("type", .optional($0.type)), ("netdev", .optional($0.netdev)),
                        ])
                    })
            ),
        ])
    }

    private static func rdmaInformation(_ member: Pool.Member, _ pool: Pool) -> JSON {
        let nodes = pool.nodes(of: [member])
        var rdma: [(String, JSON)] = [("rdma_dev", .string(member.device.name))]
        for kind in ["uverbs", "umad", "issm", "rdma_cm"] {
            if let node = nodes.first(where: { $0.hasPrefix(kind) }) {
                rdma.append((kind, .string("/dev/infiniband/\(node)")))
            }
        }
        return .object([("rdma", .object(rdma))])
    }
}

extension RDMADevice {
    /// How it is named where buses count: its place on one, else the kernel's name.
    fileprivate var busAddress: String { pci.map { $0.auxiliary ?? $0.address } ?? name }
}
