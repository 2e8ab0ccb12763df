package import Inventory

/// A resource that pods can ask for, as the configuration has it.
package struct ResourceDefinition: Sendable, Equatable {
    /// `vendor.domain/name`.
    package var name: String
    /// What there is of it.
    package var kind: Kind

    /// What a resource hands out.
    package enum Kind: Sendable, Equatable {
        /// Devices, or shares of them.
        case devices(DeviceRules)
        /// Places at the node's rdmad, so many.
        case seats(Int)
    }

    /// The rules for devices.
    package struct DeviceRules: Sendable, Equatable {
        /// A device that matches any of them is taken.
        package var selectors: [Selector]
        /// How many pods share a device; nil when a device belongs to one.
        package var shares: Int?
        /// When a device is well.
        package var health: HealthPolicy = .anyPort
        /// What to choose for a container that asks for several.
        package var preference: Preference = .pack
        /// Whether `umad` and `issm` are handed out too, where they exist.
        package var includesManagement = false

        /// Rules with the defaults of the file.
        package init(selectors: [Selector], shares: Int?) {
            self.selectors = selectors
            self.shares = shares
        }

        /// Whether the resource takes a device.
        package func takes(_ device: RDMADevice) -> Bool { selectors.contains { $0.matches(device) } }
    }

    /// A definition.
    package init(name: String, kind: Kind) {
        self.name = name
        self.kind = kind
    }

    /// The part of the name before the `/`.
    package var domain: String { String(name.prefix { $0 != "/" }) }
    /// The part of the name after the `/`.
    package var localName: String { String(name.drop { $0 != "/" }.dropFirst()) }
    /// The file name of its socket: unique, as `/` is in no domain and `_` is in no valid one.
    package var endpoint: String { "\(domain)_\(localName).sock" }
    /// The beginning of its environment variable, as the SR-IOV plugin names it: `PCIDEVICE_RDMAD_DEV_HCA`.
    package var environmentName: String {
        "PCIDEVICE_" + name.uppercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? String($0) : "_" }.joined()
    }
}

/// Which ports must be up for a device to be handed out.
package enum HealthPolicy: String, Sendable, CaseIterable {
    /// One is enough.
    case anyPort = "any-port"
    /// Every one.
    case allPorts = "all-ports"

    /// Whether a device is well by this policy. Without its node it never is.
    package func accepts(_ device: RDMADevice) -> Bool {
        guard device.verbs != nil, !device.ports.isEmpty else { return false }
        switch self {
        case .anyPort: return device.ports.contains(where: \.isActive)
        case .allPorts: return device.ports.allSatisfy(\.isActive)
        }
    }
}

/// What to choose for a container that asks for several.
package enum Preference: String, Sendable, CaseIterable {
    /// As near to each other as can be: one device, one PCI root, one NUMA node.
    case pack
    /// As many devices as can be.
    case spread
}
