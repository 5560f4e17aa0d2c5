-- Notes what became of a push on a phone, once. ARGV: how long facts are kept, delivery, name, workspace, subject, fact, most
-- of them. Answers 1 now, 0 before, 2 too many.
local p, kept_ms = KEYS[1], tonumber(ARGV[1])
local key, field = p .. ':x:' .. ARGV[2], ARGV[3]
if redis.call('SISMEMBER', key, field) == 1 then return 0 end
if redis.call('SCARD', key) >= tonumber(ARGV[7]) then return 2 end
redis.call('SADD', key, field)
redis.call('PEXPIRE', key, string.format('%.0f', kept_ms + BEYOND_MS))
append_fact(p, ARGV[4], ARGV[5], '', ARGV[6], kept_ms)
return 1
