import Testing

@testable import RdmadClient

@Suite struct BrokerAddressTests {
    @Test func parses() throws {
        #expect(try BrokerAddress("shm:///run/rdmad.sock") == .sharedMemory(path: "/run/rdmad.sock"))
        #expect(try BrokerAddress("rdma://10.9.0.1") == .rdma(host: "10.9.0.1", port: 9440))
        #expect(try BrokerAddress("rdma://node-1:19440/") == .rdma(host: "node-1", port: 19440))
        #expect(try BrokerAddress("rdma://[fe80::1]:7") == .rdma(host: "fe80::1", port: 7))
        #expect(try BrokerAddress("rdma://[::1]") == .rdma(host: "::1", port: 9440))
    }

    @Test(arguments: ["shm:///a/b.sock", "rdma://h:1", "rdma://[::1]:9440"])
    func printsWhatItParses(text: String) throws {
        #expect("\(try BrokerAddress(text))" == text)
    }

    @Test(arguments: [
        "", "shm://", "shm://relative", "shm:///" + String(repeating: "x", count: 107), "rdma://", "rdma://:1",
        "rdma://h:", "rdma://h:0", "rdma://h:65536", "rdma://h:x", "rdma://[::1", "rdma://[]:1", "rdma://[::1]x:1",
        "rdma://::1", "rdma://a/b", "tcp://h:1", "/run/rdmad.sock",
    ])
    func refusesAndSaysWhy(text: String) {
        let error = #expect(throws: ClientError.self) { _ = try BrokerAddress(text) }
        #expect(error?.code == .address)
        #expect(error?.description.contains("rdma://HOST[:PORT]") == true)
    }
}
