package import Inventory

/// What a resource has, at one moment.
package struct Pool: Sendable, Equatable {
    /// The rules it was made by.
    package let definition: ResourceDefinition
    /// Devices in the order of their identities; none for seats.
    package let members: [Member]
    /// Whether `rdma_cm` is there.
    package let hasConnectionManager: Bool
    /// Which seats are taken care of, by number; empty for devices.
    package let seats: [Bool]
    /// How many shares of each device are told: fewer than asked for where the kubelet's messages would not hold them.
    package let shares: Int

    /// A device that the resource takes.
    package struct Member: Sendable, Equatable {
        /// ``DeviceIdentity``: what ids begin with.
        package var identity: String
        /// What sysfs knows of it.
        package var device: RDMADevice
        /// Whether it may be handed out.
        package var isHealthy: Bool
    }

    /// One thing that can be handed out.
    package struct Entry: Sendable, Equatable {
        /// At most 63 characters.
        package var id: String
        /// Whether it may be handed out.
        package var isHealthy: Bool
        /// nil when it is near to no node.
        package var numaNode: Int?
    }

    /// The devices of an inventory that a definition takes.
    package init(_ definition: ResourceDefinition, _ inventory: Inventory, _ health: HealthMonitor) {
        self.definition = definition
        hasConnectionManager = inventory.hasConnectionManager
        seats = []
        guard case .devices(let rules) = definition.kind else {
            members = []
            shares = 1
            return
        }
        let identities = DeviceIdentity.identities(of: inventory.devices)
        members = inventory.devices.filter(rules.takes).map { device in
            let identity = identities[device.name] ?? device.name
            let key = HealthMonitor.Key(identity: identity, policy: rules.health)
            // Without its node a device cannot be handed out however short that lasts.
            return Member(
                identity: identity, device: device, isHealthy: health.isHealthy(key) && device.verbs != nil)
        }.sorted { $0.identity < $1.identity }
        shares = min(rules.shares ?? 1, max(1, Configuration.entriesMax / max(1, members.count)))
    }

    /// The seats of a definition.
    package init(_ definition: ResourceDefinition, seats: [Bool]) {
        self.definition = definition
        self.seats = seats
        members = []
        shares = 1
        hasConnectionManager = false
    }

    /// The whole list for the kubelet, always in the same order.
    package var entries: [Entry] {
        switch definition.kind {
        case .seats:
            return seats.enumerated().map { Entry(id: "seat-\($0)", isHealthy: $1, numaNode: nil) }
        case .devices:
            return members.flatMap { member in
                (0..<shares).map { share in
                    Entry(
                        id: "\(member.identity)-\(share)", isHealthy: member.isHealthy,
                        numaNode: member.device.numaNode)
                }
            }
        }
    }

    /// The device that an id names; nil when there is none, or no such share of it.
    package func member(of id: String) -> Member? {
        guard case .devices = definition.kind, let dash = id.lastIndex(of: "-"),
            let share = Int(id[id.index(after: dash)...]), share >= 0, share < shares,
            id.hasSuffix("-\(share)")
        else { return nil }
        let identity = id[..<dash]
        return members.first { $0.identity == identity }
    }

    /// The nodes in `/dev/infiniband` that shares of these members hand out: `rdma_cm` once, for all of them.
    package func nodes(of members: [Member]) -> [String] {
        guard case .devices(let rules) = definition.kind else { return [] }
        let own = members.flatMap { member -> [String] in
            guard let verbs = member.device.verbs else { return [] }
            return [verbs] + (rules.includesManagement ? member.device.management : [])
        }
        return own.isEmpty || !hasConnectionManager ? own : own + ["rdma_cm"]
    }
}
