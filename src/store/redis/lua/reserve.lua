-- Reserves a device for a commit. ARGV: device, what for (claim, first, release), subject, commit id, partition of the
-- record. Answers ok and when, taken, none, or pending with the other commit's id and partition.
local key = KEYS[1] .. ':v:' .. ARGV[1]
local now = redis.call('HMGET', key, 'o', 'i', 'q')
if now[2] and now[2] ~= ARGV[4] then return {'pending', now[2], now[3]} end
if ARGV[2] == 'first' and now[1] and now[1] ~= ARGV[3] then return {'taken'} end
if ARGV[2] == 'release' and now[1] ~= ARGV[3] then return {'none'} end
local to = ARGV[2] == 'release' and '' or ARGV[3]
redis.call('HSET', key, 'i', ARGV[4], 'q', ARGV[5], 't', to)
local time = redis.call('TIME')
return {'ok', string.format('%.0f', tonumber(time[1]) * 1000)}
