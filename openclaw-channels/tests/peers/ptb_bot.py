"""A bot on python-telegram-bot, by long polling or as a webhook.

python ptb_bot.py API_ROOT (poll | PORT) [SECRET]; the token is in BOT_TOKEN.
"""

import logging
import os
import re
import sys

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, InputMediaPhoto
from telegram.error import BadRequest, ChatMigrated
from telegram.ext import (
    AIORateLimiter,
    Application,
    CallbackQueryHandler,
    CommandHandler,
    MessageHandler,
    MessageReactionHandler,
    filters,
)

root, mode, *secret = sys.argv[1:]
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")
ALLOWED = ["message", "edited_message", "callback_query", "message_reaction", "my_chat_member"]
logging.basicConfig(level=logging.WARNING)


async def start(update, _):
    buttons = [
        InlineKeyboardButton("Yes", callback_data="answer:yes"),
        InlineKeyboardButton("Help", url="https://example.com"),
    ]
    await update.message.reply_html(
        "<b>Ready</b>?", do_quote=True, reply_markup=InlineKeyboardMarkup([buttons])
    )


async def pressed(update, _):
    await update.callback_query.answer("Noted", show_alert=True)
    await update.callback_query.edit_message_text("*Said* yes\\.", parse_mode="MarkdownV2")


async def photo(update, _):
    file = await update.message.photo[-1].get_file()
    data = bytes(await file.download_as_bytearray())
    await update.message.reply_document(data, filename="back.png", caption=f"{len(data)} bytes")


async def voice(update, _):
    await update.message.reply_voice(update.message.voice.file_id)


async def location(update, _):
    place = update.message.location
    await update.message.reply_venue(place.latitude, place.longitude, "There", "Street 1")


async def text(update, context):
    message = update.message
    said = message.text
    if said == "album":
        photos = [InputMediaPhoto(PNG, caption="one"), InputMediaPhoto(PNG)]
        await message.reply_media_group(photos)
    elif said == "react":
        await message.set_reaction("👍")
    elif said == "type":
        await message.reply_chat_action("typing")
    elif said == "burst":
        for n in (1, 2, 3):
            await message.reply_text(f"burst {n}")
    elif said == "forget":
        await message.delete()
    elif said == "ping":
        await message.reply_text("pong")
    elif match := re.fullmatch(r"send to (-\d+)", said):
        try:
            await context.bot.send_message(int(match[1]), "hello?")
        except ChatMigrated as error:
            await message.reply_text(
                "400 Bad Request: group chat was upgraded to a supergroup chat "
                f"{error.new_chat_id}"
            )
        except BadRequest as error:
            await message.reply_text(f"unexpected {error}")
    elif match := re.fullmatch(r"topic (.+)", said):
        topic = await context.bot.create_forum_topic(message.chat_id, match[1])
        thread = topic.message_thread_id
        await context.bot.send_message(message.chat_id, "welcome", message_thread_id=thread)


async def edited(update, _):
    await update.edited_message.reply_text(f"edited to {update.edited_message.text}")


async def reacted(update, context):
    change = update.message_reaction
    emoji = ",".join(reaction.emoji for reaction in change.new_reaction)
    await context.bot.send_message(change.chat.id, f"reacted {emoji}")


async def ready(app):
    await app.bot.set_my_commands([("start", "Begin")])


limiter = AIORateLimiter(overall_max_rate=0, group_max_rate=0, max_retries=5)
builder = Application.builder().token(os.environ["BOT_TOKEN"]).rate_limiter(limiter)
builder = builder.base_url(f"{root}/bot").base_file_url(f"{root}/file/bot").post_init(ready)
app = builder.build()
new = filters.UpdateType.MESSAGE
app.add_handler(CommandHandler("start", start, filters=new))
app.add_handler(CallbackQueryHandler(pressed, pattern="^answer:yes$"))
app.add_handler(MessageHandler(new & filters.PHOTO, photo))
app.add_handler(MessageHandler(new & filters.VOICE, voice))
app.add_handler(MessageHandler(new & filters.LOCATION, location))
app.add_handler(MessageHandler(new & filters.TEXT, text))
app.add_handler(MessageHandler(filters.UpdateType.EDITED_MESSAGE, edited))
app.add_handler(MessageReactionHandler(reacted))
if mode == "poll":
    app.run_polling(allowed_updates=ALLOWED)
else:
    app.run_webhook(
        listen="127.0.0.1",
        port=int(mode),
        url_path="hook",
        webhook_url=f"http://127.0.0.1:{mode}/hook",
        secret_token=secret[0],
        allowed_updates=ALLOWED,
    )
