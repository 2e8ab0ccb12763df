import ArgumentParser
import DevicePlugin
import Inventory
import Resources

/// Shows what a node has.
struct Devices: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List this node's RDMA devices, and the resources that take them.")

    @OptionGroup var node: NodeOptions

    @Flag(help: "One JSON array.")
    var json = false

    func run() throws {
        let scanner = Scanner(sysfsRoot: node.sysfsRoot, deviceRoot: node.devRoot)
        let inventory = scanner.scan()
        // The devices are there whether or not a file says who gets them.
        let text = node.config == nil ? try? ConfigurationFile(node.configurationFile).text() : nil
        let given = try node.config.map { try ConfigurationFile($0).text() } ?? text
        let configuration = try given.map { try Configuration($0, file: node.configurationFile) }
        let identities = DeviceIdentity.identities(of: inventory.devices)
        let rows = inventory.devices.map { device in
            Row(
                device: device, identity: identities[device.name] ?? device.name, gids: scanner.gids(of: device),
                resources: configuration?.resources.filter { $0.takes(device) }.map(\.name) ?? [])
        }
        if json {
            print(JSON.array(rows.map(\.json)).text)
        } else {
            for row in rows { print(row.text) }
            if rows.isEmpty { print("no RDMA devices") }
            for remark in inventory.remarks { print("note: \(remark)") }
        }
    }

    private struct Row {
        let device: RDMADevice
        let identity: String
        let gids: [GID]
        let resources: [String]

        var text: String {
            let ports = device.ports.map { "\($0.number):\($0.linkLayer)/\($0.state)" }.joined(separator: ",")
            let fields = [
                ("id", identity), ("driver", device.driver ?? "-"),
                ("pci", device.pci.map { "\($0.vendor):\($0.device)" } ?? "-"),
                ("numa", device.numaNode.map { "\($0)" } ?? "-"),
                ("netdevs", device.netdevs.isEmpty ? "-" : device.netdevs.map(\.name).joined(separator: ",")),
                ("ports", ports), ("uverbs", device.verbs ?? "-"),
                ("resources", resources.isEmpty ? "-" : resources.joined(separator: ",")),
            ]
            return "\(device.name) " + fields.map { "\($0.0)=\($0.1)" }.joined(separator: " ")
        }

        var json: JSON {
            .compact([
                ("name", .string(device.name)), ("id", .string(identity)), ("nodeGUID", .string(device.nodeGUID)),
                ("driver", .optional(device.driver)), ("pciAddress", .optional(device.pci?.address)),
                ("vendor", .optional(device.pci?.vendor)), ("deviceID", .optional(device.pci?.device)),
                ("physicalFunction", .optional(device.pci?.physicalFunction)),
                ("pciRoot", .optional(device.pci?.root)), ("numaNode", device.numaNode.map(JSON.number) ?? .null),
                ("netdevs", .strings(device.netdevs.map(\.name))), ("uverbs", .optional(device.verbs)),
                ("management", .strings(device.management)),
                (
                    "ports",
                    .array(
                        device.ports.map {
                            .object([
                                ("port", .number($0.number)), ("state", .string($0.state)),
                                ("linkLayer", .string($0.linkLayer)),
                            ])
                        })
                ),
                ("gids", .strings(gids.map(\.value))), ("resources", .strings(resources)),
            ])
        }
    }
}

extension ResourceDefinition {
    fileprivate func takes(_ device: RDMADevice) -> Bool {
        if case .devices(let rules) = kind { rules.takes(device) } else { false }
    }

    /// What there is of it, in a few words.
    var summary: String {
        switch kind {
        case .seats(let count): "\(count) seats"
        case .devices(let rules): rules.shares.map { "\($0) shares of each device" } ?? "devices, one pod each"
        }
    }
}
