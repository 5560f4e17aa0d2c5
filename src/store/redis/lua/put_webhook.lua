-- Writes an endpoint if it has the version that is expected, 0 for a new one. ARGV: workspace, id, expected, due ('' never),
-- body. Answers 0 when it has another one.
local w, id = KEYS[1], ARGV[2]
local version = tonumber(redis.call('HGET', w .. ':version', id) or 0)
if version ~= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', w .. ':version', id, version + 1)
redis.call('HSET', w .. ':body', id, ARGV[1] .. '\0' .. ARGV[5])
redis.call('SADD', w .. ':of:' .. ARGV[1], id)
if ARGV[4] == '' then redis.call('ZREM', w .. ':due', id) else redis.call('ZADD', w .. ':due', ARGV[4], id) end
return 1
