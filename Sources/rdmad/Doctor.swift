import ArgumentParser
import CLinux
import Glibc
import RDMATransport

/// `rdmad doctor`: what this machine offers, what it means, what to do.
struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what this machine has for RDMA and shared memory, and what to do about what is missing.",
        discussion: "Exit status: 0 when a broker would run here (shared memory at least), 1 when it would not.")

    func run() throws {
        var isUsable = true
        kernel()
        devices()
        memlock()
        isUsable = sharedMemory()
        if !isUsable { throw ExitCode(1) }
    }

    private func say(_ mark: String, _ what: String, _ meaning: String = "") {
        print("\(mark)  \(what)")
        if !meaning.isEmpty { print("      \(meaning)") }
    }

    private func kernel() {
        var name = utsname()
        unsafe uname(&name)
        let release = unsafe withUnsafeBytes(of: name.release) {
            unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        let numbers = release.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
        say("ok", "kernel \(release)")
        if numbers.count == 2, (numbers[0], numbers[1]) < (6, 2) {
            say(
                "!!", "kernels before 6.2 cannot register files for reading",
                "Consumers are served through memory, one copy more. Kernel 6.2 or later avoids it.")
        }
        for (path, meaning) in [
            ("/sys/class/infiniband", "no RDMA driver: load yours (mlx5_ib, irdma, …) or, for tests, rdma_rxe"),
            (
                "/dev/infiniband/rdma_cm",
                "no connection manager: modprobe rdma_ucm; in a container, pass /dev/infiniband/rdma_cm"
            ),
        ] {
            let isThere = unsafe access(path, F_OK) == 0
            say(isThere ? "ok" : "--", "\(path)\(isThere ? "" : " is missing")", isThere ? "" : meaning)
        }
    }

    private func devices() {
        let names = DeviceContext.deviceNames()
        if names.isEmpty {
            say(
                "--", "no RDMA device",
                "rdmad serves shared memory only. To try RDMA without a NIC: modprobe rdma_rxe; "
                    + "rdma link add rxe0 type rxe netdev eth0")
        }
        for name in names {
            do throws(FabricError) {
                let device = try DeviceContext(name: name)
                let attributes = try device.attributes()
                say(
                    "ok",
                    "device \(name): \(attributes.queuePairsMax) queue pairs, "
                        + "\(attributes.completionsMax) completions per "
                        + "queue, firmware \(attributes.firmware.isEmpty ? "none" : attributes.firmware)")
                for number in 1...max(attributes.portCount, 1) { try port(number, of: device) }
            } catch {
                say(
                    "!!", "device \(name) cannot be used: \(error)",
                    "May this user open /dev/infiniband/uverbs*? In Kubernetes, ask the device plugin for it.")
            }
        }
    }

    private func port(_ number: Int, of device: DeviceContext) throws(FabricError) {
        let port = try device.port(number)
        say(
            port.isActive ? "ok" : "!!",
            "  port \(number): \(port.isActive ? "active" : "down"), MTU \(port.mtuBytes), "
                + "messages up to \(port.messageBytesMax) bytes, "
                + (port.isEthernet ? "Ethernet" : "InfiniBand"),
            port.isActive
                ? (port.mtuBytes < 4096 && port.isEthernet
                    ? "MTU 4096 needs a netdev MTU above 4200: ip link set DEV mtu 9000" : "")
                : "Bring the link up: ip link set DEV up; check the cable and the switch.")
        let gids = try device.gids(port: number)
        for gid in gids { say("ok", "  gid \(gid.index): \(gid) (\(gid.kind.rawValue))") }
        if port.isEthernet, !gids.contains(where: { $0.kind == .roceV2 && $0.isIPv4 }) {
            say("!!", "  no RoCE v2 address over IPv4", "Give the netdev an IPv4 address: ip addr add …")
        }
    }

    private func memlock() {
        var soft: UInt64 = 0
        var hard: UInt64 = 0
        guard unsafe clinux_memlock_limit(&soft, &hard) == 0 else { return }
        let isEnough = soft == .max || soft >= 256 << 20 || geteuid() == 0
        say(
            isEnough ? "ok" : "!!",
            "memlock limit \(soft == .max ? "unlimited" : "\(soft) bytes")"
                + (geteuid() == 0 && soft != .max ? " (root is not bound by it)" : ""),
            isEnough
                ? ""
                : "Registering memory with a device counts against it: LimitMEMLOCK=infinity (systemd), "
                    + "ulimit -l unlimited, or CAP_IPC_LOCK")
    }

    private func sharedMemory() -> Bool {
        do throws(FabricError) {
            _ = try MemoryBlock(byteCount: 1 << 20, name: "rdmad-doctor")
            say("ok", "shared memory: sealed memfds work")
            return true
        } catch {
            say(
                "!!", "shared memory does not work: \(error)",
                "rdmad cannot run here: memfd_create is needed (kernel 3.17 or later).")
            return false
        }
    }
}
