import Glibc
import LogSimulation
import Testing

@testable import TopicLog

/// What the simulated disk keeps and loses.
@Suite struct SimulatedDiskTests {
    /// What a file holds after a cut, for many seeds.
    private func outcomes(
        _ seeds: Range<UInt64> = 0..<300, _ body: (FileSystem) throws -> Void
    ) throws -> Set<[UInt8]?> {
        var found: Set<[UInt8]?> = []
        for seed in seeds {
            let disk = SimulatedDisk(seed: seed)
            try body(FileSystem(disk.boot()))
            disk.end(losingPower: true)
            found.insert(try FileSystem(disk.boot()).contents(of: "/f"))
        }
        return found
    }

    @Test func contentsSurviveWhollyInPartOrNotAtAll() throws {
        let new = [UInt8](repeating: 1, count: 1024)
        let found = try outcomes { files in
            let file = try files.open("/f", O_RDWR | O_CREAT)
            try files.synchronizeDirectory("/")
            try file.write(new, at: 0)
        }.compactMap(\.self)
        #expect(found.contains([]) && found.contains(new))
        let half = [UInt8](repeating: 1, count: 512)
        let hole = [UInt8](repeating: 0, count: 512)
        #expect(found.contains(half + hole) && found.contains(hole + half), "sectors in any order")
        #expect(found.contains { !$0.isEmpty && $0.count % 512 != 0 }, "a size in between")
    }

    @Test func syncedContentsAndNamesStay() throws {
        let found = try outcomes { files in
            let file = try files.open("/f", O_RDWR | O_CREAT)
            try file.write([1, 2, 3], at: 0)
            try file.synchronize()
            try files.synchronizeDirectory("/")
        }
        #expect(found == [[1, 2, 3]])
        let unnamed = try outcomes { files in
            let file = try files.open("/f", O_RDWR | O_CREAT)
            try file.write([1], at: 0)
            try file.synchronize()
        }
        #expect(unnamed == [nil, [1]], "a file's sync says nothing of its name")
    }

    @Test func renameIsOneStep() throws {
        let found = try outcomes { files in
            try files.replace("f", in: "/", with: [1])
            let file = try files.open("/g", O_RDWR | O_CREAT)
            try file.write([2], at: 0)
            try file.synchronize()
            try files.rename("/g", to: "/f")
        }
        #expect(found == [[1], [2]])
    }

    @Test func truncationMayBeLost() throws {
        let found = try outcomes { files in
            try files.replace("f", in: "/", with: [1, 2])
            try files.open("/f", O_RDWR).truncate(to: 0)
        }
        #expect(found.contains([1, 2]) && found.contains([]))
    }

    @Test func failedSyncLosesWhatTheCacheStillShows() throws {
        var seen: Set<[UInt8]> = []
        for seed in 0..<50 as Range<UInt64> {
            let disk = SimulatedDisk(seed: seed)
            let process = disk.boot()
            let files = FileSystem(process)
            let file = try files.open("/f", O_RDWR | O_CREAT)
            try file.write([7], at: 0)
            process.plan(.fail(atCall: 1, .inputOutput, isLasting: false))
            #expect(throws: LogError.self) { try file.synchronize() }
            #expect(try files.contents(of: "/f") == [7])
            try file.synchronize()
            process.dropCache(of: file.descriptor)
            seen.insert(try #require(try files.contents(of: "/f")))
        }
        #expect(seen == [[7], [0]], "a later sync succeeds, and brings nothing back")
    }

    @Test func answersAsTheKernel() throws {
        let process = SimulatedDisk(seed: 1).boot()
        #expect(process.open("/d/f", O_RDWR | O_CREAT) == -ENOENT && process.open("/f", O_RDONLY) == -ENOENT)
        #expect(process.createDirectory("/d") == 0 && process.createDirectory("/d") == -EEXIST)
        let file = process.open("/d/f", O_RDWR | O_CREAT | O_EXCL)
        #expect(file == 0 && process.open("/d/f", O_RDWR | O_CREAT | O_EXCL) == -EEXIST)
        #expect(process.removeDirectory("/d") == -ENOTEMPTY && process.remove("/d") == -EISDIR)
        #expect(process.removeDirectory("/d/f") == -ENOTDIR && process.open("/d", O_RDWR) == -EISDIR)
        let second = process.open("/d/f", O_RDWR)
        #expect(process.lock(file) == 0 && process.lock(second) == -EWOULDBLOCK)
        process.close(file)
        #expect(process.lock(second) == 0)
        var last = second
        while last >= 0 { last = process.open("/d/f", O_RDONLY) }
        #expect(last == -EMFILE && process.synchronizeDirectory("/d") == -EMFILE)
        #expect(process.rename("/d/f", to: "/g") == 0 && process.remove("/g") == 0)
        #expect(process.removeDirectory("/d") == 0 && process.remove("/g") == -ENOENT)
        #expect(process.size(of: second) == 0, "an open file outlives its name")
    }
}
