import Foundation
import RDMATransport
import Testing
import TransportTestSupport

/// Devices that go while they are used.
@Suite(.serialized) struct DeviceRemovalTests {
    /// `rdma link delete`, which may wait until nobody uses the device.
    static func remove(_ device: SpareDevice) throws -> ChildProcess {
        try ChildProcess(["rdma", "link", "delete", device.name], output: 2, error: 2)
    }

    @Test func anUnusedDeviceGoes() throws {
        let device = try SpareDevice(51)
        #expect(DeviceContext.deviceNames().contains(device.name))
        #expect(try DeviceContext(name: device.name).port(1).isActive)
        #expect(try Self.remove(device).wait() == 0)
        #expect(!DeviceContext.deviceNames().contains(device.name))
        let failure = #expect(throws: FabricError.self) { _ = try DeviceContext(name: device.name) }
        #expect(failure?.code == .noDevice)
    }

    /// librdmacm in the other process has the device open: the removal ends with that process. Drivers that can be
    /// unplugged under their users send ``ConnectionEvent/Kind/deviceRemoval`` instead; rxe and siw cannot.
    @Test func aRemovalWaitsForTheConnectionManager() throws {
        let device = try SpareDevice(52)
        let process = try VerbsEndsProcess()
        _ = try RemoteManager(process).listen(device.host)
        let removal = try Self.remove(device)
        defer { end([process], removal) }
        try waitUntil("the end of its name") { !DeviceContext.deviceNames().contains(device.name) }
        #expect(removal.isRunning)
        process.kill()
        #expect(removal.wait() == 0)
    }

    /// A connection goes on until its processes let go.
    @Test func aConnectionGoesOnUntilItIsClosed() throws {
        let device = try SpareDevice(53)
        let process = try VerbsEndsProcess()
        let removal: ChildProcess
        do {
            let pair = try VerbsPair(.twoProcesses, process: process) { $0.device = device.name }
            removal = try Self.remove(device)
            try waitUntil("the end of its name") { !DeviceContext.deviceNames().contains(device.name) }
            try pair.far.receive(0, 64)
            try pair.near.post(.send, 0, 64)
            #expect(try pair.far.success().byteCount == 64)
            #expect(removal.isRunning)
            process.kill()
            #expect(removal.isRunning, "our own end is still there")
        }
        #expect(removal.wait() == 0)
    }

    /// Whoever still has the device goes first: a removal that waits cannot be killed.
    private func end(_ processes: [VerbsEndsProcess], _ removal: ChildProcess) {
        for process in processes { process.kill() }
        removal.wait()
    }

    /// A device opened by name holds the removal up until it is closed; whether it is told is the driver's affair.
    @Test func aRemovalWaitsForAnOpenDevice() throws {
        let device = try SpareDevice(54)
        var context: DeviceContext? = try DeviceContext(name: device.name)
        let removal = try Self.remove(device)
        try waitUntil("the end of its name") { !DeviceContext.deviceNames().contains(device.name) }
        #expect(removal.isRunning)
        while let event = context?.nextEvent() {
            #expect(event.kind == .deviceFatal || event.kind == .portError, "\(event.kind)")
        }
        context = nil
        #expect(removal.wait() == 0)
    }

    /// rxe0 is not disturbed by what happens to others.
    @Test func otherDevicesGoOn() throws {
        let device = try SpareDevice(55)
        let pair = try VerbsPair(.twoProcesses)
        #expect(try Self.remove(device).wait() == 0)
        try pair.far.receive(0, 64)
        try pair.near.post(.send, 0, 64)
        #expect(try pair.far.success().byteCount == 64)
    }

    @Test func theInterfacesEndIsTheDevices() throws {
        let device = try SpareDevice(56)
        try SpareDevice.command(["ip", "link", "delete", device.interface])
        try waitUntil("the end of \(device.name)") { !DeviceContext.deviceNames().contains(device.name) }
    }
}
