package import Inventory

/// Which devices a resource takes. Every field that is given must match, by any of its values.
package struct Selector: Sendable, Equatable {
    /// The fields that are given, in the order of the file.
    package var fields: [(field: Field, patterns: [Pattern])]

    /// What can be asked of a device; the raw value is the name in the file.
    package enum Field: String, Sendable, CaseIterable {
        /// PCI vendor, four hexadecimal digits.
        case vendors
        /// PCI device, four hexadecimal digits.
        case deviceIDs
        /// Kernel driver: `mlx5_core`, `rdma_rxe`, `siw`.
        case drivers
        /// Network interfaces.
        case ifNames
        /// Types of network interfaces: `ether`, `infiniband`.
        case linkTypes
        /// `0000:3b:00.0`.
        case pciAddresses
        /// `mlx5_0`.
        case rdmaDevices
        /// `ethernet` (RoCE, iWARP) or `infiniband`, of any port.
        case linkLayers
        /// `active`, `down`, `init`, `armed`, of any port.
        case portStates

        /// The values that can be, for fields that have few of them.
        package var values: [String]? {
            switch self {
            case .linkLayers: ["ethernet", "infiniband"]
            case .portStates: ["active", "armed", "down", "init"]
            default: nil
            }
        }

        /// What a device has in this field, in lower case where case does not count.
        func of(_ device: RDMADevice) -> [String] {
            switch self {
            case .vendors: device.pci.map { [$0.vendor.lowercased()] } ?? []
            case .deviceIDs: device.pci.map { [$0.device.lowercased()] } ?? []
            case .drivers: device.driver.map { [$0] } ?? []
            case .ifNames: device.netdevs.map(\.name)
            case .linkTypes: device.netdevs.compactMap(\.linkType)
            case .pciAddresses: device.pci.map { [$0.address] } ?? []
            case .rdmaDevices: [device.name]
            case .linkLayers: device.ports.map { $0.linkLayer.lowercased() }
            case .portStates: device.ports.map { $0.state.lowercased() }
            }
        }
    }

    /// A selector of these fields.
    package init(_ fields: [(field: Field, patterns: [Pattern])]) { self.fields = fields }

    /// Whether it takes a device.
    package func matches(_ device: RDMADevice) -> Bool {
        fields.allSatisfy { field, patterns in
            let values = field.of(device)
            return patterns.contains { pattern in values.contains(where: pattern.matches) }
        }
    }

    /// Whether two ask the same.
    package static func == (left: Selector, right: Selector) -> Bool {
        left.fields.elementsEqual(right.fields) { $0.field == $1.field && $0.patterns == $1.patterns }
    }
}
