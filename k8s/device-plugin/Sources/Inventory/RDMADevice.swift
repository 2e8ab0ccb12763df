/// One RDMA device (HCA) as sysfs shows it.
package struct RDMADevice: Sendable, Equatable {
    /// The kernel's name: `mlx5_0`, `rxe0`.
    package var name: String
    /// 64 bits in four groups of hexadecimal digits, or empty.
    package var nodeGUID: String
    /// The function of the PCI bus behind it; nil for devices made of software.
    package var pci: PCIFunction?
    /// `mlx5_core`, `rdma_rxe`, `siw`; nil when not known.
    package var driver: String?
    /// nil when the kernel knows of none.
    package var numaNode: Int?
    /// Interfaces that carry its traffic, the device's own first; none on InfiniBand without IPoIB.
    package var netdevs: [NetworkInterface]
    /// In the order of their numbers.
    package var ports: [Port]
    /// `uverbs0`: what applications open. nil when the kernel made none, or its node is missing.
    package var verbs: String?
    /// `umad0`, `issm0`: management datagrams, often not there at all.
    package var management: [String]

    /// A port of a device.
    package struct Port: Sendable, Equatable {
        /// From 1.
        package var number: Int
        /// As sysfs spells it: `ACTIVE`, `DOWN`, `INIT`, `ARMED`.
        package var state: String
        /// `Ethernet` or `InfiniBand`.
        package var linkLayer: String

        /// Whether it can carry traffic.
        package var isActive: Bool { state == "ACTIVE" }
    }

    /// A network interface.
    package struct NetworkInterface: Sendable, Equatable {
        /// `eth0`.
        package var name: String
        /// As `ip link` says it: `ether`, `infiniband`; nil when the interface is not visible here.
        package var linkType: String?
    }

    /// A function on a PCI bus.
    package struct PCIFunction: Sendable, Equatable {
        /// `0000:3b:00.0`.
        package var address: String
        /// The host bridge it hangs under: `pci0000:3a`.
        package var root: String
        /// Four hexadecimal digits.
        package var vendor: String
        /// Four hexadecimal digits.
        package var device: String
        /// The physical function's address, for a virtual one.
        package var physicalFunction: String?
        /// Set for a device that is one of several on its function (`mlx5_core.sf.4`), nil for the function itself.
        package var auxiliary: String?
        /// The number that the administrator gave a subfunction (`sfnum`).
        package var subfunction: Int?
    }
}

/// An address of a port.
package struct GID: Sendable, Equatable {
    /// The port's number.
    package var port: Int
    /// Place in the port's table.
    package var index: Int
    /// `fe80:0000:0000:0000:...`.
    package var value: String
    /// `RoCE v2`, `IB/RoCE v1`; nil when not told.
    package var type: String?
    /// The interface it belongs to.
    package var netdev: String?
}

/// Everything RDMA that a node has, at one moment.
package struct Inventory: Sendable, Equatable {
    /// In the order of their names.
    package var devices: [RDMADevice]
    /// Whether `/dev/infiniband/rdma_cm` is there.
    package var hasConnectionManager: Bool
    /// Whether RDMA devices belong to one network namespace each; nil when the kernel does not say.
    package var isExclusiveNamespace: Bool?
    /// What an operator should know: devices that cannot be given to anybody, and why.
    package var remarks: [String]

    /// Nothing at all.
    package static let empty = Inventory(
        devices: [], hasConnectionManager: false, isExclusiveNamespace: nil, remarks: [])
}
