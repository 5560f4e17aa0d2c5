-- Writes a campaign. ARGV: node, workspace, id, at, document, versions kept. Kept is: version, time, line feed, document.
local c = KEYS[1]
local key = c .. ':campaigns:' .. ARGV[2]
local known = redis.call('HGET', key, ARGV[3])
local version = known and tonumber(string.match(known, '^%d+')) + 1 or 1
local kept = version .. ' ' .. ARGV[4] .. '\n' .. ARGV[5]
redis.call('HSET', key, ARGV[3], kept)
local versions = c .. ':cv:' .. ARGV[2] .. '\0' .. ARGV[3]
redis.call('HSET', versions, version, kept)
redis.call('HDEL', versions, version - tonumber(ARGV[6]))
redis.call('SADD', c .. ':workspaces', ARGV[2])
redis.call('XADD', c .. ':changes', 'MAXLEN', '~', 1000, '*', 'n', ARGV[1], 'k', 'campaigns', 'w', ARGV[2])
return version
